import pytest
import torch
from torch.distributions import MultivariateNormal

from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian
from dgm_run.distributions.hierarchical import Hierarchical
from tests.support.contracts import check_density_integrates_to_one, check_sampler_follows_density

UPPER = DiagonalGaussian(torch.tensor([0.5]).double(), torch.tensor([-0.4]).double())


def lower(u):
    return DiagonalGaussian(1.5 * u + 0.3, torch.full_like(u, -1.0))


def test_two_gaussian_levels_are_gaussian():
    p = Hierarchical(UPPER, lower, 1, has_second_first=True)
    variance, noise = torch.tensor([-0.4, -1.0]).double().exp()
    covariance = torch.stack([1.5**2 * variance + noise, 1.5 * variance, 1.5 * variance, variance]).view(2, 2)
    expected = MultivariateNormal(torch.tensor([1.05, 0.5]).double(), covariance)
    z = torch.randn(20, 2).double()
    torch.testing.assert_close(p.log_prob(z), expected.log_prob(z))
    check_density_integrates_to_one(p)
    check_sampler_follows_density(p)


def test_sample_density_reaches_both_levels():
    mean = torch.randn(3, 2).double().requires_grad_()
    q = Hierarchical(
        DiagonalGaussian(mean, torch.zeros(3, 2).double()), lambda u: lower(u[..., :1] + mean[:, :1]), 1, True
    )
    z, log_q = q.rsample_and_log_prob((4,))
    assert (z.shape, log_q.shape, q.event_shape) == ((4, 3, 3), (4, 3), (3,))
    torch.testing.assert_close(log_q, q.log_prob(z))
    assert torch.autograd.grad(z.sum(), mean)[0].abs().min() > 0


def test_its_parameters_cannot_be_held_fixed():
    with pytest.raises(NotImplementedError):
        Hierarchical(UPPER, lower, 1, has_second_first=True).detach()
