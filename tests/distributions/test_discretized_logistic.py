import itertools

import numpy as np
import pytest
import scipy.stats
import torch

from dgm_run.distributions.discretized_logistic import DiscretizedLogistic
from tests.support.contracts import check_broadcasts, check_masses_sum_to_one, check_sampler_follows_masses

MEANS = [-1.0, 0.0, 1 / 512, 0.3, 0.5, 1.0, 2.0]
LOG_SCALES = [-12.0, -8.0, -4.5, -1.5, 0.0, 3.0, 12.0]
EXTREMES = torch.tensor(list(itertools.product(MEANS, LOG_SCALES)), dtype=torch.float64)


def levels(n):
    return (torch.arange(n) / (n - 1)).tolist()


def density(mean, log_scale, num_levels=256):
    return DiscretizedLogistic(torch.as_tensor(mean), torch.as_tensor(log_scale), num_levels, event_dims=1)


def reference(mean, log_scale, num_levels=256):
    """log P of every level: the bins cut the intensity axis [0, 1] evenly, those at the edges reach to infinity."""
    edges = np.concatenate([[-np.inf], np.arange(1, num_levels) / num_levels, [np.inf]])
    logistic = scipy.stats.logistic(mean, np.exp(log_scale))
    left = np.diff(logistic.cdf(edges))
    right = -np.diff(logistic.sf(edges))  # exact where the other cancels
    return np.log(np.where(edges[1:] < mean, left, right))


def test_masses_sum_to_one():
    check_masses_sum_to_one(density(EXTREMES[:, :1], EXTREMES[:, 1:]), levels(256))


@pytest.mark.parametrize("num_levels", [2, 3, 17])
def test_masses_sum_to_one_for_any_levels(num_levels):
    check_masses_sum_to_one(density(EXTREMES[:, :1], EXTREMES[:, 1:], num_levels), levels(num_levels))


@pytest.mark.parametrize(("mean", "log_scale"), [(0.5, -2.0), (0.0, -4.5), (0.998, -3.0), (0.3, 1.0)])
def test_masses_are_cdf_differences(mean, log_scale):
    p = density(torch.tensor([mean], dtype=torch.float64), torch.tensor([log_scale], dtype=torch.float64))
    log_p = p.log_prob(torch.tensor(levels(256)).double().unsqueeze(-1))
    torch.testing.assert_close(log_p, torch.from_numpy(reference(mean, log_scale)), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("mean", "log_scale"), [(0.5, -2.0), (0.0, 1.0)])
def test_the_edge_bins_hold_the_tails(mean, log_scale):
    logistic = scipy.stats.logistic(mean, np.exp(log_scale))
    p = density(torch.tensor([mean], dtype=torch.float64), torch.tensor([log_scale], dtype=torch.float64))
    black, white = p.log_prob(torch.tensor([[0.0], [1.0]]).double()).exp().tolist()
    assert black == pytest.approx(logistic.cdf(1 / 256))
    assert white == pytest.approx(logistic.sf(255 / 256))


def test_extremes_stay_finite_in_float32():
    pairs = torch.tensor(list(itertools.product(MEANS, [-20.0, -8.0, 0.0, 8.0, 20.0]))).repeat(256, 1, 1)
    mean, log_scale = (t.clone().requires_grad_() for t in pairs.split(1, -1))  # (256, N, 1)
    log_p = density(mean, log_scale).log_prob((torch.arange(256) / 255).reshape(256, 1, 1))
    assert log_p.isfinite().all()
    assert log_p.max() <= 0
    for gradient in torch.autograd.grad(log_p.sum(), (mean, log_scale)):
        assert gradient.isfinite().all()
        assert (gradient != 0).any()


def test_gradient_pulls_towards_value():
    mean, log_scale = torch.tensor([0.05], requires_grad=True), torch.tensor([-7.0])
    (gradient,) = torch.autograd.grad(density(mean, log_scale).log_prob(torch.tensor([0.9])), mean)
    assert gradient.item() == pytest.approx(np.exp(7), rel=1e-3)  # a plain difference underflows: no gradient


def test_gradients_equal_finite_differences():
    x = torch.tensor([[0.0], [0.25], [0.5], [1.0]], dtype=torch.float64)
    mean, log_scale = (
        torch.tensor([[0.4]], dtype=torch.float64).requires_grad_(),
        torch.tensor([[-1.0]], dtype=torch.float64).requires_grad_(),
    )
    assert torch.autograd.gradcheck(lambda m, s: density(m, s, 5).log_prob(x), (mean, log_scale))


@pytest.mark.parametrize(("mean", "log_scale"), [([0.4, 0.9], [-1.5, -2.5]), ([0.0, 0.5], [0.0, -4.0])])
def test_samples_follow_the_masses(mean, log_scale):
    p = density(torch.tensor(mean, dtype=torch.float64), torch.tensor(log_scale, dtype=torch.float64), num_levels=8)
    check_sampler_follows_masses(p, levels(8))


def test_samples_keep_the_batch_apart():
    torch.manual_seed(1)
    check_broadcasts(DiscretizedLogistic(torch.rand(3, 2, 2), torch.randn(3, 2, 2) - 2, 256, event_dims=2))


@pytest.mark.parametrize("rounding", [-1e-6, 0, 1e-6])
def test_grey_levels_survive_float32(rounding):
    value = density([0.4], [-2.0]).log_prob((torch.arange(256) / 255 + rounding).unsqueeze(-1))
    torch.testing.assert_close(value.double(), torch.from_numpy(reference(0.4, -2.0)), rtol=1e-4, atol=1e-4)


def test_one_scale_serves_all_elements():
    mean, x = torch.rand(3, 4), torch.tensor(levels(256))[[3, 70, 100, 255]]
    expected = density(mean, torch.full((3, 4), -2.0)).log_prob(x)
    torch.testing.assert_close(density(mean, torch.tensor(-2.0)).log_prob(x), expected)


def test_example_sums_its_elements():
    mean, log_scale = np.array([0.2, 0.7]), np.array([-1.0, -3.0])
    value = density(torch.from_numpy(mean), torch.from_numpy(log_scale)).log_prob(torch.tensor([10, 200]) / 255)
    expected = reference(mean[0], log_scale[0])[10] + reference(mean[1], log_scale[1])[200]
    assert value.item() == pytest.approx(expected)


@pytest.mark.parametrize(("mean", "log_scale"), [(0.5, -2.0), (0.0, -1.0), (1.2, 0.5), (-0.5, 3.0), (0.3, -5.0)])
def test_the_mean_is_the_expected_intensity(mean, log_scale):
    p = density(torch.tensor([mean], dtype=torch.float64), torch.tensor([log_scale], dtype=torch.float64))
    assert p.mean.item() == pytest.approx(np.exp(reference(mean, log_scale)) @ np.arange(256) / 255, abs=1e-9)


def test_the_mean_has_the_shape_of_the_batch():
    assert DiscretizedLogistic(torch.rand(3, 2, 2), torch.tensor(-2.0), 4, event_dims=2).mean.shape == (3, 2, 2)
