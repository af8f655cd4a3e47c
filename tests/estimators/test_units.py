import math

import numpy as np
import pytest
import torch

from dgm_run.data.corruptions import MissingAtRandom
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.text import Sentences
from dgm_run.distributions.vocabulary import Vocabulary
from dgm_run.estimators.intervals import Bias, ComputingErrors, Margin
from dgm_run.estimators.units import bits_per_dim, convert_likelihood, perplexity

WORDS = Vocabulary(["a", "b"])
SENTENCES = [["a"], ["a", "b"], ["b", "b", "b"]]


def sentences(log_p=None):
    return Sentences(WORDS.encode(SENTENCES, 6), WORDS, log_p)


def test_perplexity_counts_ends_not_padding():
    log_p = torch.tensor([-1.0, -4.0, -5.0])
    value, stderr = perplexity(log_p, sentences())
    assert value == pytest.approx(math.exp(10 / (2 + 3 + 4)))
    assert stderr > 0
    assert perplexity(log_p[:1], Sentences(WORDS.encode(SENTENCES[:1], 6), WORDS))[1] is None


def test_its_error_is_that_of_the_bootstrap():
    generator = np.random.default_rng(0)
    rows = WORDS.encode([["a"] * n for n in generator.integers(1, 12, 400)], 13)
    data = Sentences(rows, WORDS)
    tokens = data.num_observed.double().numpy()
    log_p = -tokens * generator.gamma(5, 0.4, 400)
    _, stderr = perplexity(torch.tensor(log_p), data)
    chosen = generator.integers(400, size=(4000, 400))
    values = np.exp(-log_p[chosen].sum(1) / tokens[chosen].sum(1))
    assert stderr == pytest.approx(values.std(), rel=0.08)


def test_perplexity_interval_may_be_infinite():
    two = Sentences(WORDS.encode(SENTENCES[:2], 6), WORDS)
    (row,) = convert_likelihood(torch.tensor([-1.0, -600.0], dtype=torch.float64), two, "mine", "exact")
    assert row.interval == (pytest.approx(0.0), math.inf)


def test_perplexity_bound_has_opposite_side():
    (row,) = convert_likelihood(torch.tensor([-1.0, -4.0, -5.0]), sentences(), "mine", "lower_bound")
    assert (row.quantity, row.kind, row.unit) == ("perplexity", "upper_bound", "")


def test_kl_from_truth_has_its_own_error():
    truth, log_p = torch.tensor([-0.5, -3.0, -5.5]), torch.tensor([-1.0, -4.0, -5.0])
    _, true, lost = convert_likelihood(log_p, sentences(truth), "mine", "exact")
    assert (true.quantity, true.value, true.kind) == ("true_log_likelihood", pytest.approx(-3.0), "exact")
    assert (lost.quantity, lost.unit, lost.value) == ("kl_from_truth", "nats", pytest.approx(1 / 3))
    assert lost.stderr == pytest.approx(np.std([0.5, 1.0, -0.5], ddof=1) / math.sqrt(3))


def test_images_have_bits():
    data = DataSplit(torch.zeros(2, 1, 2, 2), None, to_float, log_bin_width=-math.log(4))
    (row,) = convert_likelihood(torch.tensor([1.0, 3.0]), data, "mine", "exact")
    assert (row.quantity, row.unit) == ("bits_per_dim", "bits")
    assert row.value == pytest.approx(2 - 0.5 / math.log(2))
    assert bits_per_dim(torch.tensor([0.0]), data).item() == pytest.approx(2)


def test_unobserved_examples_have_no_bits():
    corrupt = MissingAtRandom(0.5)
    data = DataSplit(torch.zeros(3, 1, 1, 2), None, lambda x: x, log_bin_width=-1.0)
    data.corrupt = corrupt
    data.corruption_noise = torch.tensor([[True, True], [True, False], [False, False]]).view(3, 1, 1, 2)
    (bits,) = convert_likelihood(torch.tensor([0.0, -2.0, -4.0]), data, "exact", "exact")
    assert bits.num_examples == 2
    assert bits.value == pytest.approx((2 + 1) / math.log(2))


def test_impossible_has_infinite_bits():
    data = DataSplit(torch.zeros(2, 1, 2, 2), None, to_float)
    (bits,) = convert_likelihood(torch.tensor([-math.inf, -2.0]), data, "exact", "exact")
    assert (bits.value, bits.num_examples) == (math.inf, 2)


def test_kl_bound_has_opposite_side():
    data = DataSplit(torch.zeros(2, 1, 2, 2), None, to_float, log_p=torch.tensor([-1.0, -2.0]))
    bits, true, lost = convert_likelihood(torch.tensor([-1.5, -3.5]), data, "mine", "lower_bound")
    assert (bits.kind, lost.kind, true.kind) == ("upper_bound", "upper_bound", "exact")
    assert (true.value, lost.value) == (pytest.approx(-1.5), pytest.approx(1.0))


def test_shared_errors_are_converted():
    log_p, common = torch.tensor([-1.0, -4.0, -5.0]), Margin(1.0, 2.0)
    (row,) = convert_likelihood(log_p, sentences(), "mine", "estimate", ComputingErrors(common))
    ends = row.value * math.exp(-2 / 3), row.value * math.exp(1 / 3)  # three tokens a sentence
    assert row.computing_interval == pytest.approx(ends)
    assert row.interval[0] < ends[0] < ends[1] < row.interval[1]
    data = DataSplit(torch.zeros(3, 1, 2, 2), None, to_float)
    (row,) = convert_likelihood(log_p, data, "mine", "estimate", ComputingErrors(common))
    unit = 4 * math.log(2)
    assert row.computing_interval == pytest.approx((row.value - 2 / unit, row.value + 1 / unit))


@pytest.mark.parametrize(("of_density", "of_bits"), [("exact", "upper_bound"), ("lower_bound", "upper_bound")])
def test_dequantised_bits_are_an_upper_bound(of_density, of_bits):
    data = DataSplit(torch.zeros(2, 1, 2, 2), None, to_float, log_bin_width=-math.log(4))
    assert convert_likelihood(torch.tensor([1.0, 3.0]), data, "mine", of_density)[0].kind == of_bits
    data = DataSplit(torch.zeros(2, 1, 2, 2), None, to_float)
    assert convert_likelihood(torch.tensor([1.0, 3.0]), data, "mine", "exact")[0].kind == "exact"


def test_bias_changes_sign_in_bits():
    log_p, data = torch.tensor([-1.0, -4.0]), DataSplit(torch.zeros(2, 1, 2, 2), None, to_float)
    (row,) = convert_likelihood(
        log_p, data, "mine", "estimate", ComputingErrors(draws=Margin(0.4, 0.4), bias=Bias(-0.8))
    )
    factor = 1 / (4 * math.log(2))
    low, high = row.computing_interval
    assert high - row.value == pytest.approx(0.4 * factor)
    assert row.value - low == pytest.approx(1.2 * factor)


def test_bias_scales_by_perplexity_slope():
    log_p = torch.tensor([-1.0, -4.0, -5.0])
    (row,) = convert_likelihood(log_p, sentences(), "mine", "estimate", ComputingErrors(bias=Bias(-1e-4)))
    moved, _ = perplexity(log_p + 1e-4, sentences())
    low, high = row.computing_interval
    assert (low, high) == (pytest.approx(moved), pytest.approx(row.value))
