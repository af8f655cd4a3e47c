import pytest
import torch
from torch import nn

from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.posteriors.base import EvaluablePosterior
from dgm_run.posteriors.full_gaussian import FullGaussianPosterior
from dgm_run.posteriors.gaussian import GaussianPosterior
from dgm_run.priors.vampprior import VampPrior
from tests.support.contracts import (
    check_density_integrates_to_one,
    check_every_parameter_gets_a_gradient,
    check_sampler_follows_density,
)

SHAPE = (1, 2, 2)


def posterior(latent_dim, hidden_dims=()):
    torch.manual_seed(1)
    return GaussianPosterior(MLPEncoder(SHAPE, list(hidden_dims), "gated"), latent_dim, [-2.0, 1.0]).double()


def make(num_components=4, init_mean=0.5, init_scale=0.5, value_range=(0.0, 1.0)):
    torch.manual_seed(2)
    return VampPrior(SHAPE, num_components, init_mean, init_scale, value_range).double()


@pytest.mark.parametrize("dim", [1, 2])
def test_the_density_integrates_to_one_and_samples_follow_it(dim):
    p = make()(posterior(dim, [5]))
    check_density_integrates_to_one(p)
    check_sampler_follows_density(p)


def test_the_density_integrates_to_one_with_full_covariances():
    torch.manual_seed(1)
    q = FullGaussianPosterior(MLPEncoder(SHAPE, [5], "gated"), 2, 0.3).double()
    check_density_integrates_to_one(make()(q))
    check_sampler_follows_density(make()(q))


def test_the_density_is_the_mean_of_the_posteriors_at_the_pseudo_inputs():
    prior, q = make(), posterior(3)
    u = prior.raw_pseudo_inputs.clamp(0, 1).reshape(4, 4)
    mean, log_var = (u @ q.head.weight.T + q.head.bias).chunk(2, -1)  # (K, L)
    z = torch.randn(6, 5, 3, dtype=torch.float64)
    q_zu = torch.distributions.Normal(mean, log_var.clamp(-2, 1).div(2).exp()).log_prob(z.unsqueeze(-2)).sum(-1).exp()
    torch.testing.assert_close(prior(q).log_prob(z), q_zu.mean(-1).log())


def test_pseudo_inputs_and_encoder_get_gradients():
    both = nn.ModuleDict({"prior": make(value_range=None), "posterior": posterior(3, [5])})
    log_p = both["prior"](both["posterior"]).log_prob(torch.randn(6, 3, dtype=torch.float64))
    check_every_parameter_gets_a_gradient(both, log_p)


def test_the_prior_does_not_own_the_encoder():
    prior = make()
    prior(posterior(3))
    assert set(prior.state_dict()) == {"raw_pseudo_inputs"}
    assert VampPrior.requires == {"posterior": EvaluablePosterior}


def test_pseudo_inputs_start_from_the_gaussian_asked_for():
    torch.manual_seed(0)
    u = VampPrior([10, 10], 100, 0.4, 0.02, None).pseudo_inputs
    assert abs(u.mean().item() - 0.4) < 5 * 0.02 / 100
    assert abs(u.std().item() / 0.02 - 1) < 5 * (0.5 / 10_000) ** 0.5


def test_pseudo_inputs_are_clamped_to_the_range_of_the_data():
    raw = make(init_scale=2.0).raw_pseudo_inputs
    assert raw.min() < 0
    assert raw.max() > 1
    torch.testing.assert_close(make(init_scale=2.0).pseudo_inputs, raw.clip(0, 1))
    assert torch.equal(make(init_scale=2.0, value_range=None).pseudo_inputs, raw)


def test_the_density_is_that_of_the_clamped_pseudo_inputs():
    q, z = posterior(3), torch.zeros(1, 3, dtype=torch.float64)
    prior, clamped = make(init_scale=2.0), make()
    with torch.no_grad():
        clamped.raw_pseudo_inputs.copy_(prior.raw_pseudo_inputs.clip(0, 1))
    torch.testing.assert_close(prior(q).log_prob(z), clamped(q).log_prob(z))


def test_a_mixture_without_components_is_refused():
    with pytest.raises(ValueError, match=r"^num_components = 0 must be positive$"):
        make(num_components=0)
