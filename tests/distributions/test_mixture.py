import pytest
import torch

from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian
from dgm_run.distributions.full_gaussian import FullGaussian
from dgm_run.distributions.mixture import Mixture
from tests.support.contracts import (
    check_broadcasts,
    check_density_integrates_to_one,
    check_detach_stops_gradients,
    check_full_precision_under_autocast,
    check_log_prob_gradient,
    check_sampler_follows_density,
)

torch.manual_seed(1)
MEAN = 2 * torch.randn(3, 2, dtype=torch.float64)
LOG_VAR = torch.randn(3, 2, dtype=torch.float64) - 1
LOG_WEIGHTS = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64).log()  # unequal


UNIFORM = torch.full((3,), 1 / 3, dtype=torch.float64).log()


def make(mean, log_var, log_weights=UNIFORM):
    return Mixture(DiagonalGaussian(mean, log_var), log_weights)


def oracle(mean, log_var, log_weights):
    components = torch.distributions.Independent(torch.distributions.Normal(mean, (log_var / 2).exp()), 1)
    return torch.distributions.MixtureSameFamily(torch.distributions.Categorical(logits=log_weights), components)


@pytest.mark.parametrize("dim", [1, 2])
def test_density_integrates_to_one(dim):
    check_density_integrates_to_one(make(MEAN[:, :dim], LOG_VAR[:, :dim], LOG_WEIGHTS))


@pytest.mark.parametrize("log_weights", [UNIFORM, LOG_WEIGHTS], ids=["uniform", "unequal"])
def test_samples_follow_the_density(log_weights):
    check_sampler_follows_density(make(MEAN, LOG_VAR, log_weights))


def test_samples_pick_components_anew():
    modes = torch.tensor([[-100.0], [0.0], [100.0]])
    torch.manual_seed(0)
    component = make(modes, torch.zeros(3, 1)).sample((3000, 2)).squeeze(-1).div(100).round() + 1  # (N, 2)
    pairs = torch.bincount((3 * component[:, 0] + component[:, 1]).long(), minlength=9) / 3000
    torch.testing.assert_close(pairs, torch.full((9,), 1 / 9), rtol=0, atol=5 * (8 / 81 / 3000) ** 0.5)


def test_value_and_gradient_match_torch():
    logits = LOG_WEIGHTS + 1  # normalised by both sides, so that gradients agree

    def make_normalised(mean, log_var, logits):
        return make(mean, log_var, logits.log_softmax(0))

    check_log_prob_gradient(make_normalised, oracle, torch.randn(5, 4, 2, dtype=torch.float64), MEAN, LOG_VAR, logits)


def test_components_of_any_family_mix():
    tril = torch.diag_embed((LOG_VAR / 2).exp())
    tril[:, 1, 0] = 0.7
    z = torch.randn(5, 4, 2, dtype=torch.float64)
    components = torch.distributions.MultivariateNormal(MEAN, scale_tril=tril)
    weights = torch.distributions.Categorical(logits=LOG_WEIGHTS)
    expected = torch.distributions.MixtureSameFamily(weights, components).log_prob(z)
    torch.testing.assert_close(Mixture(FullGaussian(MEAN, tril), LOG_WEIGHTS).log_prob(z), expected)


def test_single_sample_has_a_density():
    check_broadcasts(make(MEAN, LOG_VAR, LOG_WEIGHTS))
    assert make(MEAN, LOG_VAR).sample().shape == (2,)


def test_the_mean_is_the_weighted_mean():
    expected = oracle(MEAN, LOG_VAR, LOG_WEIGHTS).mean
    torch.testing.assert_close(make(MEAN, LOG_VAR, LOG_WEIGHTS).mean, expected)


def test_detach_stops_all_gradients():
    check_detach_stops_gradients(make, MEAN, LOG_VAR, LOG_WEIGHTS)
    weights = LOG_WEIGHTS.clone().requires_grad_()
    assert make(MEAN, LOG_VAR, weights).log_prob(MEAN).requires_grad
    assert not make(MEAN, LOG_VAR, weights).detach().log_prob(MEAN).requires_grad


def test_far_density_stays_finite():
    log_p = make(MEAN.float(), LOG_VAR.float()).log_prob(torch.full((1, 2), 1e3))
    assert log_p.isfinite().all()
    assert log_p.item() < -1e5


def test_autocast_keeps_full_precision():
    mean, log_var = torch.randn(2, 10, 5)
    check_full_precision_under_autocast(lambda: make(mean, log_var, torch.zeros(10).log_softmax(0)), torch.randn(8, 5))
