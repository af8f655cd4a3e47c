import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import genpareto

from dgm_run.estimators.likelihood.pareto import LargestWeights, pareto_k, tail_size

pytestmark = pytest.mark.usefixtures("double")

CPU = torch.device("cpu")


def zhang_stephens(x):
    """The estimator of Zhang & Stephens as in their paper, example by example, in their sign of k; then the prior.

    theta lies below 1 / max; l(theta) = n (log(theta / k) + k - 1), k(theta) = -mean log(1 - theta x).
    """
    x = np.sort(x)
    n = len(x)
    m = 30 + math.floor(math.sqrt(n))
    quarter = x[math.floor(n / 4 + 0.5) - 1]
    theta = [1 / x[-1] + (1 - math.sqrt(m / (j - 0.5))) / (3 * quarter) for j in range(1, m + 1)]

    def k_of(t):
        return -np.mean(np.log(1 - t * x))

    likelihood = [n * (math.log(t / k_of(t)) + k_of(t) - 1) for t in theta]
    weights = [1 / sum(math.exp(min(other - own, 700)) for other in likelihood) for own in likelihood]
    shape = -k_of(sum(w * t for w, t in zip(weights, theta, strict=True)))
    return (n * shape + 10 * 0.5) / (n + 10)


def draws(k, num_tail, num_examples, seed=0):
    """Weights whose tail above 1 is generalised Pareto, the largest first, with the threshold as the last row."""
    exceedances = genpareto.rvs(k, size=(num_tail, num_examples), random_state=seed)
    weights = np.sort(1 + exceedances, axis=0)[::-1]
    return torch.from_numpy(np.concatenate([weights, np.ones((1, num_examples))])).log()


@pytest.mark.parametrize("k", [-0.3, 0.0, 0.3, 0.7, 1.2])
@pytest.mark.parametrize("num_tail", [5, 20, 67, 300])
def test_fit_matches_second_implementation(k, num_tail):
    log_w = draws(k, num_tail, 6)
    w = np.exp((log_w - log_w[0]).numpy())
    expected = [zhang_stephens(w[:-1, i] - w[-1, i]) for i in range(6)]
    np.testing.assert_allclose(pareto_k(log_w).numpy(), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("k", [-0.3, 0.3, 0.7, 1.2])
def test_k_of_long_tails_is_the_true_one(k):
    found = pareto_k(draws(k, 2000, 200))
    assert found.mean().item() == pytest.approx(k, abs=0.02)
    # the asymptotic standard deviation of the likeliest k is (1 + k) / sqrt(n); beyond 1 the grid is coarser
    assert found.std().item() == pytest.approx((1 + k) / math.sqrt(2000), rel=0.25 if k < 1 else 0.5)


def test_k_is_near_maximum_likelihood():
    log_w = draws(0.5, 3000, 1)
    x = (log_w.exp() - 1)[:-1, 0].numpy()
    # Grimshaw's reduction: with k = mean log(1 + t x) one equation is left for t = k / sigma
    t = brentq(lambda t: (1 + np.mean(np.log1p(t * x))) * np.mean(1 / (1 + t * x)) - 1, 1e-3, 100)
    assert pareto_k(log_w).item() == pytest.approx(np.mean(np.log1p(t * x)), abs=0.01)


def test_gaussian_weights_have_theoretical_k():
    # q = N(0, s^2) below p = N(0, 1): w grows as exp(z^2 (1/s^2 - 1) / 2), and P(w > t) falls as t^(-1/k), k = 1 - s^2
    torch.manual_seed(0)
    for scale, k in ((0.9, 0.19), (0.5, 0.75)):
        z = scale * torch.randn(200_000, 20)
        log_w = 0.5 * z.square() * (1 / scale**2 - 1)
        found = pareto_k(log_w.topk(tail_size(len(z)) + 1, dim=0).values).mean().item()
        assert found == pytest.approx(k, abs=0.12)  # the limit is approached by a logarithm


@pytest.mark.parametrize("constant", [-3.0, -1e4, -math.inf])
def test_a_level_tail_has_k_zero(constant):
    assert pareto_k(torch.full((20, 2), constant)).tolist() == [0.0, 0.0]


def test_ties_at_the_tail_start_are_handled():
    log_w = torch.tensor([2.0, 1.0] + [0.0] * 10).unsqueeze(1)
    assert pareto_k(log_w).isfinite().all()


def test_weights_of_any_scale_have_one_k():
    log_w = draws(0.6, 50, 4)
    torch.testing.assert_close(pareto_k(log_w), pareto_k(log_w - 5000))


def test_a_short_tail_is_refused():
    with pytest.raises(ValueError, match="a tail of 4 weights is too short: give at least 5"):
        pareto_k(torch.zeros(5, 1))


@pytest.mark.parametrize(("num_samples", "size"), [(5, 1), (25, 5), (100, 20), (500, 67), (10_000, 300)])
def test_the_tail_is_a_fifth_or_three_roots(num_samples, size):
    assert tail_size(num_samples) == size


@pytest.mark.parametrize("chunk", [1, 7, 100, 1000])
def test_stream_keeps_largest_weights(chunk):
    torch.manual_seed(0)
    log_w = 3 * torch.randn(1000, 5)
    largest = LargestWeights(1000, 5, CPU)
    for part in log_w.split(chunk):
        largest.add(part)
        assert sum(map(len, largest._parts)) < 2 * largest.size + chunk
    expected = log_w.sort(0, descending=True).values[: tail_size(1000) + 1]
    torch.testing.assert_close(largest.values(), expected, rtol=0, atol=0)
    torch.testing.assert_close(largest.fit_pareto_k(), pareto_k(expected))


def test_too_few_samples_have_no_fit():
    largest = LargestWeights(24, 3, CPU)
    largest.add(torch.randn(24, 3))
    assert largest.fit_pareto_k() is None
