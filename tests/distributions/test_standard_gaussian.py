import pytest
import torch

from dgm_run.distributions.standard_gaussian import StandardGaussian
from tests.support.contracts import (
    check_broadcasts,
    check_density_integrates_to_one,
    check_moments,
    check_sampler_follows_density,
)

LIKE = torch.zeros((), dtype=torch.float64)


@pytest.mark.parametrize("dim", [1, 2])
def test_density_integrates_to_one(dim):
    check_density_integrates_to_one(StandardGaussian(dim, LIKE))


def test_samples_follow_the_density():
    check_sampler_follows_density(StandardGaussian(2, LIKE))
    check_moments(StandardGaussian(3, LIKE), torch.zeros(3), torch.eye(3, dtype=torch.float64))


def test_log_prob_equals_that_of_torch():
    z = 2 * torch.randn(5, 4, 3, dtype=torch.float64)
    expected = torch.distributions.MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double()).log_prob(z)
    torch.testing.assert_close(StandardGaussian(3, LIKE).log_prob(z), expected)


def test_samples_broadcast():
    check_broadcasts(StandardGaussian(3, LIKE))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_samples_have_the_model_type(dtype):
    p = StandardGaussian(3, LIKE.to(dtype))
    assert p.sample((2,)).dtype == p.mean.dtype == p.variance.dtype == dtype
    assert p.mean.tolist() == [0, 0, 0]
    assert p.variance.tolist() == [1, 1, 1]


def test_detach_is_identity():
    z = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(StandardGaussian(3, LIKE).detach().log_prob(z).sum(), z)
    torch.testing.assert_close(gradient, -z)
