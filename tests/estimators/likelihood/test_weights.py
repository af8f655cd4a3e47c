import itertools
import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import t

from dgm_run.estimators.intervals import NO_ERRORS, Bias, ComputingErrors
from dgm_run.estimators.likelihood.weights import (
    SamplingError,
    StreamingWeights,
    describe_heavy_tails,
    extrapolate_bias,
    has_small_ess,
    sampling_diagnostics,
    sampling_error,
)

pytestmark = pytest.mark.usefixtures("double")

S, B = 37, 11


def accumulate(log_w, chunks, num_groups=8):
    weights = StreamingWeights(len(log_w), log_w.shape[1], log_w.device, num_groups)
    first = 0
    for chunk in log_w.split(chunks):
        weights.add(chunk, first)
        first += len(chunk)
    return weights


def log_normal(num_samples, num_examples, scale):
    """Log weights whose expectation is one."""
    torch.manual_seed(0)
    return scale * torch.randn(num_samples, num_examples) - scale**2 / 2


@pytest.mark.parametrize("chunks", [[37], [10, 20, 7], [1] * 37])
def test_streamed_sums_match_all_at_once(chunks):
    log_w = 5 * torch.randn(S, B) - 800
    weights, expected = accumulate(log_w, chunks), log_w.numpy()
    w = np.exp(expected - expected.max(0))
    np.testing.assert_allclose(weights.log_mean.numpy(), logsumexp(expected, axis=0) - math.log(S), rtol=1e-13)
    np.testing.assert_allclose(weights.effective_sample_size.numpy(), w.sum(0) ** 2 / (w**2).sum(0), rtol=1e-10)


@pytest.mark.parametrize("chunks", [[37], [10, 20, 7], [1] * 37])
def test_levels_use_every_nth_sample(chunks):
    log_w = torch.randn(S, B)
    columns = accumulate(log_w, chunks).columns()
    grouped = log_w[:32]  # the last five make no group of their own
    for level, num_parts in enumerate((1, 2, 4, 8)):
        parts = [logsumexp(grouped[part::num_parts].numpy(), axis=0) for part in range(num_parts)]
        parts = np.stack(parts) - math.log(32 / num_parts)
        np.testing.assert_allclose(columns["level_means"][:, level].numpy(), parts.mean(0), rtol=1e-12)
        if level:
            variance = parts.var(0, ddof=1)
            np.testing.assert_allclose(columns["level_variances"][:, level - 1].numpy(), variance, rtol=1e-10)


@pytest.mark.parametrize(("num_samples", "groups"), [(1, 1), (2, 2), (3, 2), (5, 4), (10, 4), (16, 8), (500, 8)])
def test_groups_have_at_least_two_samples(num_samples, groups):
    assert accumulate(torch.zeros(num_samples, 2), num_samples).num_groups == groups


def test_ess_lies_between_one_and_samples():
    log_w = torch.tensor([[-3.0] * 50, [0.0] + [-1000.0] * 49]).T
    assert accumulate(log_w, 50).effective_sample_size.tolist() == pytest.approx([50, 1])


def test_float_weights_are_summed_in_double():
    weights = StreamingWeights(1_000_000, 1, torch.device("cpu"))
    for first in range(0, 1_000_000, 10_000):
        weights.add(torch.full((10_000, 1), -87.1, dtype=torch.float32), first)
    assert weights.log_mean.item() == pytest.approx(float(np.float32(-87.1)), abs=1e-10)


def test_weights_that_are_all_zero_stay_zero():
    weights = accumulate(torch.tensor([[-math.inf, 0.0], [-math.inf, 0.0]]), 1)
    assert weights.log_mean.tolist() == [-math.inf, 0.0]
    assert sampling_error(weights.columns(), 2).bias is None


@pytest.mark.parametrize(
    ("num_samples", "scale"),
    [
        pytest.param(*each, marks=() if each in [(10, 0.7), (10, 1.5), (10, 2.5), (50, 1.5)] else pytest.mark.slow)
        for each in itertools.product([10, 50, 500], [0.7, 1.5, 2.5])
    ],
)
def test_bias_and_error_match_repetitions(scale, num_samples):
    log_w = log_normal(num_samples, 20_000, scale)  # 20,000 repetitions of one example with log p = 0
    weights = accumulate(log_w, num_samples)
    error = sampling_error(weights.columns(), num_samples)
    values = weights.log_mean
    # the mean of the weights is one: what they miss of it is taken off, where that lowers the noise
    control = values.exp() - 1 if scale < 2 else 0.0
    bias = (values - control).mean().item()
    assert 0.75 < error.bias.value / bias < 1.45
    assert abs(error.bias.value - bias) < 3 * error.bias.stderr
    assert error.stderr == pytest.approx(values.std().item() / math.sqrt(len(values)), rel=0.1)


def test_geometric_bias_is_extrapolated():
    means = torch.tensor([[-1.0 * 1.6**i for i in range(4)]])  # each halving raises the bias by 1.6
    assert extrapolate_bias(means, 64).value == pytest.approx(-1.0)
    # the levels rest on 8 of 15 samples; at 15 less is missing
    assert extrapolate_bias(means, 15).value == pytest.approx(-(1.6 ** -math.log2(15 / 8)))


@pytest.mark.parametrize(("factor", "bias"), [(1.01, -0.01 * 0.85 / 0.15), (4.0, -2.0)])
def test_the_ratio_of_biases_is_bounded(factor, bias):
    means = torch.tensor([[-1.0 * factor**i for i in range(4)]])
    assert extrapolate_bias(means, 64).value == pytest.approx(bias)


def test_error_of_bias_matches_repetitions():
    torch.manual_seed(0)
    found = []
    for _ in range(200):
        log_w = 1.2 * torch.randn(40, 300) - 0.72
        found.append(sampling_error(accumulate(log_w, 40).columns(), 40).bias)
    scatter = np.std([each.value for each in found])
    # beside the examples it holds that of the ratio, 0.06, which moves the bias by 0.06 / (1 - ratio) / ratio of itself
    value = np.mean([each.value for each in found])
    low, high = (abs(value) * 0.06 / ratio / (1 - ratio) for ratio in (0.5, 0.6))
    stated = np.mean([each.stderr for each in found])
    assert 0.85 * math.hypot(scatter, low) < stated < 1.15 * math.hypot(scatter, high)


def test_a_single_sample_has_no_standard_error():
    error = sampling_error(accumulate(torch.randn(1, 5), 1).columns(), 1)
    assert error == SamplingError()
    assert error.of_independent_samples == NO_ERRORS == error.of_shared_samples


def test_error_parts_are_assigned():
    error, half = SamplingError(0.1, Bias(-0.2, 0.05), freedom=9), t.ppf(0.975, 9) * 0.1
    for found, name in ((error.of_independent_samples, "draws"), (error.of_shared_samples, "common")):
        assert getattr(found, name) == pytest.approx((half, half))
        assert found == ComputingErrors(**{name: error.margin}, bias=Bias(-0.2, 0.05))


def test_constant_weights_have_no_error():
    error = sampling_error(accumulate(torch.full((40, 5), -3.0), 7).columns(), 40)
    assert error.stderr == pytest.approx(0, abs=1e-12)
    assert error.bias == pytest.approx((0, 0), abs=1e-12)


def test_diagnostics_count_heavy_tails():
    torch.manual_seed(1)
    light, heavy = torch.randn(1000, 30), torch.distributions.Pareto(1.0, 1.0).sample((1000, 10)).log()
    columns = accumulate(torch.cat([light * 0.1, heavy], 1), 100).columns()
    seen = sampling_diagnostics(columns, SamplingError(0.1, Bias(-0.2)))
    assert (seen["monte_carlo_stderr"], seen["bias"]) == (0.1, -0.2)
    assert seen["pareto_k_high"] == pytest.approx(0.25, abs=0.05)
    assert seen["pareto_k_median"] < 0.5
    assert "pareto_k_high" not in sampling_diagnostics(accumulate(light[:20], 20).columns(), SamplingError())


@pytest.mark.parametrize(("share", "is_warned"), [(None, False), (0.2, False), (0.4, True)])
def test_warning_names_share_and_advice(share, is_warned):
    warning = describe_heavy_tails({} if share is None else {"pareto_k_high": share}, "take more samples")
    assert (warning is not None) == is_warned
    assert not is_warned or ("40% of the examples" in warning and warning.endswith("take more samples"))


def test_levels_ignore_the_chunk_order():
    log_w = torch.randn(S, B)
    forwards, backwards = accumulate(log_w, 5), StreamingWeights(S, B, log_w.device)
    for first, chunk in reversed(list(zip(itertools.count(0, 5), log_w.split(5), strict=False))):
        backwards.add(chunk, first)
    torch.testing.assert_close(forwards.log_sums, backwards.log_sums)


def test_few_samples_are_detected_by_the_median():
    assert has_small_ess({"ess_median": 1.9}, 2)
    assert not has_small_ess({"ess_median": 2.0}, 2)
    assert not has_small_ess({"ess_median": None}, 2)
