import math

import numpy as np
import pytest
import torch

from dgm_run.data.corruptions import MissingAtRandom
from dgm_run.data.dataset import DataSplit, to_float
from dgm_run.data.text import Sentences
from dgm_run.distributions.vocabulary import Vocabulary
from dgm_run.estimators.intervals import Bias, ComputingErrors, Margin
from dgm_run.estimators.units import bits_per_dim, perplexity, rate

WORDS = Vocabulary(["a", "b"])
SENTENCES = [["a"], ["a", "b"], ["b", "b", "b"]]


def sentences(log_p=None):
    return Sentences(WORDS.encode(SENTENCES, 6), WORDS, log_p)


def test_perplexity_counts_ends_and_no_padding():
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


def test_the_interval_of_a_perplexity_may_be_infinite():
    two = Sentences(WORDS.encode(SENTENCES[:2], 6), WORDS)
    (row,) = rate(torch.tensor([-1.0, -600.0], dtype=torch.float64), two, "mine", "exact")
    assert row.interval == (pytest.approx(0.0), math.inf)


def test_a_bound_of_the_likelihood_bounds_the_perplexity_from_the_other_side():
    (row,) = rate(torch.tensor([-1.0, -4.0, -5.0]), sentences(), "mine", "lower_bound")
    assert (row.quantity, row.kind, row.unit) == ("perplexity", "upper_bound", "")


def test_what_is_lost_against_the_truth_is_told_with_its_own_error():
    truth, log_p = torch.tensor([-0.5, -3.0, -5.5]), torch.tensor([-1.0, -4.0, -5.0])
    _, true, lost = rate(log_p, sentences(truth), "mine", "exact")
    assert (true.quantity, true.value, true.kind) == ("true_log_likelihood", pytest.approx(-3.0), "exact")
    assert (lost.quantity, lost.unit, lost.value) == ("kl_from_truth", "nats", pytest.approx(1 / 3))
    assert lost.stderr == pytest.approx(np.std([0.5, 1.0, -0.5], ddof=1) / math.sqrt(3))


def test_images_have_bits():
    data = DataSplit(torch.zeros(2, 1, 2, 2), None, to_float, log_bin_width=-math.log(4))
    (row,) = rate(torch.tensor([1.0, 3.0]), data, "mine", "exact")
    assert (row.quantity, row.unit) == ("bits_per_dim", "bits")
    assert row.value == pytest.approx(2 - 0.5 / math.log(2))
    assert bits_per_dim(torch.tensor([0.0]), data).item() == pytest.approx(2)


def test_examples_of_which_nothing_is_seen_have_no_rate():
    corrupt = MissingAtRandom(0.5)
    data = DataSplit(torch.zeros(3, 1, 1, 2), None, lambda x: x, log_bin_width=-1.0)
    data.corrupt, data.corruption_noise = (
        corrupt,
        torch.tensor([[True, True], [True, False], [False, False]]).view(3, 1, 1, 2),
    )
    (bits,) = rate(torch.tensor([0.0, -2.0, -4.0]), data, "exact", "exact")
    assert bits.num_examples == 2
    assert bits.value == pytest.approx((2 + 1) / math.log(2))


def test_an_impossible_example_has_infinite_bits():
    data = DataSplit(torch.zeros(2, 1, 2, 2), None, to_float)
    (bits,) = rate(torch.tensor([-math.inf, -2.0]), data, "exact", "exact")
    assert (bits.value, bits.num_examples) == (math.inf, 2)


def test_what_images_of_known_probability_lose_bounds_it_from_the_other_side():
    data = DataSplit(torch.zeros(2, 1, 2, 2), None, to_float, log_p=torch.tensor([-1.0, -2.0]))
    bits, true, lost = rate(torch.tensor([-1.5, -3.5]), data, "mine", "lower_bound")
    assert (bits.kind, lost.kind, true.kind) == ("upper_bound", "upper_bound", "exact")
    assert (true.value, lost.value) == (pytest.approx(-1.5), pytest.approx(1.0))


def test_errors_that_examples_share_are_turned_into_the_unit():
    log_p, common = torch.tensor([-1.0, -4.0, -5.0]), Margin(1.0, 2.0)
    (row,) = rate(log_p, sentences(), "mine", "estimate", ComputingErrors(common))
    ends = row.value * math.exp(-2 / 3), row.value * math.exp(1 / 3)  # three tokens a sentence
    assert row.computing_interval == pytest.approx(ends)
    assert row.interval[0] < ends[0] < ends[1] < row.interval[1]
    data = DataSplit(torch.zeros(3, 1, 2, 2), None, to_float)
    (row,) = rate(log_p, data, "mine", "estimate", ComputingErrors(common))
    unit = 4 * math.log(2)
    assert row.computing_interval == pytest.approx((row.value - 2 / unit, row.value + 1 / unit))


@pytest.mark.parametrize(("of_density", "of_bits"), [("exact", "upper_bound"), ("lower_bound", "upper_bound")])
def test_bits_of_dequantised_data_are_an_upper_bound(of_density, of_bits):
    data = DataSplit(torch.zeros(2, 1, 2, 2), None, to_float, log_bin_width=-math.log(4))
    assert rate(torch.tensor([1.0, 3.0]), data, "mine", of_density)[0].kind == of_bits
    data = DataSplit(torch.zeros(2, 1, 2, 2), None, to_float)
    assert rate(torch.tensor([1.0, 3.0]), data, "mine", "exact")[0].kind == "exact"


def test_a_bias_changes_its_sign_where_less_is_better():
    log_p, data = torch.tensor([-1.0, -4.0]), DataSplit(torch.zeros(2, 1, 2, 2), None, to_float)
    (row,) = rate(log_p, data, "mine", "estimate", ComputingErrors(draws=Margin(0.4, 0.4), bias=Bias(-0.8)))
    factor = 1 / (4 * math.log(2))
    low, high = row.computing_interval
    assert high - row.value == pytest.approx(0.4 * factor)
    assert row.value - low == pytest.approx(1.2 * factor)


def test_a_bias_moves_the_perplexity_by_its_slope():
    log_p = torch.tensor([-1.0, -4.0, -5.0])
    (row,) = rate(log_p, sentences(), "mine", "estimate", ComputingErrors(bias=Bias(-1e-4)))
    moved, _ = perplexity(log_p + 1e-4, sentences())
    low, high = row.computing_interval
    assert (low, high) == (pytest.approx(moved), pytest.approx(row.value))
