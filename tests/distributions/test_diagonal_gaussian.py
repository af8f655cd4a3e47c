import pytest
import torch

from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian, kl_to_standard
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

torch.manual_seed(1)
MEAN, LOG_VAR = torch.randn(3, 2, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)


def oracle(mean, log_var):
    return torch.distributions.Independent(torch.distributions.Normal(mean, (log_var / 2).exp()), 1)


@pytest.mark.parametrize("dim", [1, 2])
def test_density_integrates_to_one(dim):
    check_density_integrates_to_one(DiagonalGaussian(MEAN[:, :dim], LOG_VAR[:, :dim]))


def test_samples_follow_the_density():
    check_sampler_follows_density(DiagonalGaussian(MEAN[0], LOG_VAR[0]))


def test_samples_have_mean_and_variance():
    p = DiagonalGaussian(MEAN, LOG_VAR)
    check_moments(p, MEAN, torch.diag_embed(LOG_VAR.exp()))
    assert p.mean is MEAN
    torch.testing.assert_close(p.variance, LOG_VAR.exp())


def test_value_and_gradient_match_torch():
    check_log_prob_gradient(DiagonalGaussian, oracle, torch.randn(5, 3, 2, dtype=torch.float64), MEAN, LOG_VAR)


def test_sample_density_has_gradient():
    check_reparameterised(DiagonalGaussian, oracle, MEAN, LOG_VAR)


def test_samples_keep_the_batch_apart():
    check_broadcasts(DiagonalGaussian(MEAN, LOG_VAR))


def test_detach_stops_gradients():
    check_detach_stops_gradients(DiagonalGaussian, MEAN, LOG_VAR)


def test_select_picks_rows():
    check_select_picks_rows(DiagonalGaussian, oracle, MEAN, LOG_VAR)


def test_pairwise_matches_direct():
    z = torch.randn(6, 2, dtype=torch.float64)
    check_pairwise(DiagonalGaussian(MEAN, LOG_VAR), oracle(MEAN, LOG_VAR), z)


@pytest.mark.parametrize("batch", [(), (3, 2)], ids=str)
def test_pairwise_takes_any_batch_shape(batch):
    mean, log_var = torch.randn(2, *batch, 4, dtype=torch.float64)
    z = torch.randn(5, 4, dtype=torch.float64)
    expected = oracle(mean, log_var).log_prob(z.reshape(5, *(1,) * len(batch), 4))
    torch.testing.assert_close(DiagonalGaussian(mean, log_var).pairwise_log_prob(z), expected)


def test_pairwise_gradient_matches_direct():
    leaves = [t.clone().requires_grad_() for t in (torch.randn(6, 2, dtype=torch.float64), MEAN, LOG_VAR)]
    z, mean, log_var = leaves
    weight = torch.randn(6, 3, dtype=torch.float64)
    values = DiagonalGaussian(mean, log_var).pairwise_log_prob(z), oracle(mean, log_var).log_prob(z.unsqueeze(1))
    torch.testing.assert_close(*[torch.autograd.grad((weight * value).sum(), leaves) for value in values])


def pairwise_error(ratio, offset=0.0):
    """Largest errors in float32, in nats, at samples of 100 components with means of `ratio` scales in 40
    dimensions: under the sample's own component, and under any."""
    torch.manual_seed(0)
    scale = torch.exp(0.5 * torch.randn(100, 40))
    mean = (ratio * torch.randn(100, 40) + offset) * scale
    z = mean + scale * torch.randn(100, 40)
    value = DiagonalGaussian(mean, 2 * scale.log()).pairwise_log_prob(z)
    exact = oracle(mean.double(), 2 * scale.log().double()).log_prob(z.double().unsqueeze(1))
    error = (value.double() - exact).abs()
    return error.diagonal().max().item(), error.max().item()


# measured: 2e-5 and 9e-5, 1.3e-3 and 5e-3, 0.14 and 0.7 nats
@pytest.mark.parametrize(("ratio", "own", "any_"), [(1, 1e-4, 5e-4), (10, 6e-3, 3e-2), (100, 0.6, 3)])
def test_expanded_square_is_precise(ratio, own, any_):
    own_error, any_error = pairwise_error(ratio)
    assert own_error < own
    assert any_error < any_


def test_mean_offset_costs_no_precision():
    scale = torch.full((100, 40), 0.5)
    mean = 50 + scale * torch.randn(100, 40)  # a hundred scales from zero
    z = mean + scale * torch.randn(100, 40)
    value = DiagonalGaussian(mean, 2 * scale.log()).pairwise_log_prob(z)
    exact = oracle(mean.double(), 2 * scale.log().double()).log_prob(z.double().unsqueeze(1))
    assert (value.double() - exact).abs().max() < 5e-4


def test_pairwise_has_full_precision():
    p, z = DiagonalGaussian(torch.randn(10, 5), torch.randn(10, 5)), torch.randn(8, 5)
    expected = p.pairwise_log_prob(z)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(p.pairwise_log_prob(z), expected)


def test_autocast_keeps_full_precision():
    mean, log_var = torch.randn(2, 10, 5)
    check_full_precision_under_autocast(lambda: DiagonalGaussian(mean, log_var), torch.randn(10, 5))


def test_kl_matches_torch():
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(MEAN, (LOG_VAR / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(kl_to_standard(DiagonalGaussian(MEAN, LOG_VAR)), expected)
