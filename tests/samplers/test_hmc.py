import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from dgm_run.samplers.hmc import evaluate_point, hmc_step, leapfrog

COVARIANCE = torch.tensor([[1.0, 0.6], [0.6, 0.8]]).double()
MEAN = torch.tensor([0.5, -1.0]).double()


def log_densities(z):
    base = -0.5 * z.square().sum(-1)
    return base, MultivariateNormal(MEAN, COVARIANCE, validate_args=False).log_prob(z)


def start(n=50):
    torch.manual_seed(0)
    return torch.randn(n, 2).double(), torch.randn(n, 2).double()


def energy(point, momentum, beta):
    return -point.log_unnormalized(beta) + 0.5 * momentum.square().sum(-1)


def test_point_has_densities_and_gradients():
    z, _ = start()
    point = evaluate_point(z, log_densities)
    leaf = z.clone().requires_grad_()
    base, target = log_densities(leaf)
    expected = 0.7 * base + 0.3 * target
    torch.testing.assert_close(point.log_unnormalized(0.3), expected.detach())
    torch.testing.assert_close(point.gradient(0.3), torch.autograd.grad(expected.sum(), leaf)[0])


def test_leapfrog_is_reversible():
    z, momentum = start()
    step = torch.tensor(0.2).double()
    there, after = leapfrog(evaluate_point(z, log_densities), momentum, 0.7, step, 9, log_densities)
    back, _ = leapfrog(there, -after, 0.7, step, 9, log_densities)
    assert (there.z - z).abs().max() > 0.5
    torch.testing.assert_close(back.z, z, rtol=0, atol=1e-10)


def test_energy_error_is_second_order():
    z, momentum = start()
    errors = []
    for step, count in ((0.1, 10), (0.05, 20)):
        point = evaluate_point(z, log_densities)
        there, after = leapfrog(point, momentum, 0.7, torch.tensor(step).double(), count, log_densities)
        errors.append((energy(there, after, 0.7) - energy(point, momentum, 0.7)).abs().mean().item())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)


def test_hmc_keeps_target_samples():
    torch.manual_seed(0)
    n, beta = 40_000, 0.6
    precision = (1 - beta) * torch.eye(2).double() + beta * torch.linalg.inv(COVARIANCE)
    covariance = torch.linalg.inv(precision)
    mean = covariance @ (beta * torch.linalg.inv(COVARIANCE) @ MEAN)
    point = evaluate_point(MultivariateNormal(mean, covariance).sample((n,)), log_densities)
    for _ in range(5):
        point, probability = hmc_step(point, beta, torch.full((n, 1), 0.9).double(), 3, log_densities)
    assert 0.3 < probability.mean() < 0.99  # steps so long that some are refused
    error = (point.z.mean(0) - mean) / (covariance.diagonal() / n).sqrt()
    assert error.abs().max() < 4.5
    assert (torch.cov(point.z.T) - covariance).abs().max() < 6 * covariance.max() / math.sqrt(n)
    torch.testing.assert_close(point.log_target, log_densities(point.z)[1])


def test_diverged_trajectory_is_rejected():
    z, _ = start(5)
    point, probability = hmc_step(evaluate_point(z, log_densities), 1.0, torch.tensor(1e100).double(), 3, log_densities)
    torch.testing.assert_close(point.z, z)
    assert not probability.any()
