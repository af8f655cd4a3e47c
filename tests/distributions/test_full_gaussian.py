import pytest
import torch

from dgm_run.distributions.full_gaussian import FullGaussian
from tests.support.contracts import (
    check_broadcasts,
    check_density_integrates_to_one,
    check_detach_stops_gradients,
    check_full_precision_under_autocast,
    check_log_prob_gradient,
    check_moments,
    check_pairwise,
    check_reparameterised,
    check_sampler_follows_density,
    check_select_picks_rows,
)


def lower_triangular(*shape, dim, dtype=torch.float64):
    tril = torch.randn(*shape, dim, dim, dtype=dtype).tril()
    return tril - torch.diag_embed(tril.diagonal(dim1=-2, dim2=-1)) + torch.eye(dim) * (0.3 + torch.rand(dim))


torch.manual_seed(1)
MEAN, TRIL = torch.randn(3, 2, dtype=torch.float64), lower_triangular(3, dim=2)


def oracle(mean, tril):
    return torch.distributions.MultivariateNormal(mean, covariance_matrix=tril @ tril.mT, validate_args=False)


def lower_oracle(mean, tril):
    """Builds the oracle for gradients: it ignores entries above the diagonal, as the density does."""
    return oracle(mean, tril.tril())


def make(mean, tril):
    return FullGaussian(mean, tril.tril())


@pytest.mark.parametrize("dim", [1, 2])
def test_density_integrates_to_one(dim):
    check_density_integrates_to_one(FullGaussian(MEAN[:, :dim], TRIL[:, :dim, :dim]))


def test_samples_follow_the_density():
    check_sampler_follows_density(FullGaussian(MEAN[0], TRIL[0]))


def test_samples_have_mean_and_covariance():
    mean, tril = torch.randn(2, 3, dtype=torch.float64), lower_triangular(2, dim=3)
    check_moments(FullGaussian(mean, tril), mean, tril @ tril.mT)


def test_variance_is_covariance_diagonal():
    torch.testing.assert_close(FullGaussian(MEAN, TRIL).variance, oracle(MEAN, TRIL).variance)
    assert FullGaussian(MEAN, TRIL).mean is MEAN


def test_value_and_gradient_match_torch():
    check_log_prob_gradient(make, lower_oracle, torch.randn(5, 3, 2, dtype=torch.float64), MEAN, TRIL)


def test_sample_density_has_gradient():
    check_reparameterised(make, lower_oracle, MEAN, TRIL)


def test_samples_keep_the_batch_apart():
    check_broadcasts(FullGaussian(MEAN, TRIL))


def test_detach_stops_gradients():
    check_detach_stops_gradients(FullGaussian, MEAN, TRIL)


def test_select_picks_rows():
    check_select_picks_rows(FullGaussian, oracle, MEAN, TRIL)


def test_pairwise_matches_direct():
    check_pairwise(FullGaussian(MEAN, TRIL), oracle(MEAN, TRIL), torch.randn(6, 2, dtype=torch.float64))


def test_autocast_keeps_full_precision():
    mean, tril = torch.randn(10, 5), lower_triangular(10, dim=5, dtype=torch.float32)
    check_full_precision_under_autocast(lambda: FullGaussian(mean, tril), torch.randn(10, 5))
