import math

import pytest
import torch

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.distributions.bernoulli import Bernoulli
from dgm_run.errors import ConfigError
from dgm_run.priors.objective import ObjectivePrior
from tests.support.contracts import check_density_integrates_to_one, check_sampler_follows_density

FLIPS = 200


def information(p_theta, theta):
    """I(theta; number of ones among 200 flips), nats, by quadrature over theta."""
    ones = torch.arange(FLIPS + 1).double()
    log_choose = math.lgamma(FLIPS + 1) - torch.lgamma(ones + 1) - torch.lgamma(FLIPS - ones + 1)
    log_p = log_choose + ones * theta.log().unsqueeze(1) + (FLIPS - ones) * (1 - theta).log().unsqueeze(1)
    p_theta = (p_theta / p_theta.sum()).unsqueeze(1)
    marginal = (p_theta * log_p.exp()).sum(0, keepdim=True)
    return (p_theta * log_p.exp() * (log_p - marginal.log())).sum().item()


def flips(z):
    return Bernoulli(z.expand(*z.shape[:-1], FLIPS), 1)


@pytest.mark.parametrize(("num_steps", "share"), [(200, 0.2), pytest.param(800, 0.8, marks=pytest.mark.slow)])
def test_coin_prior_matches_jeffreys(num_steps, share):
    theta = (torch.arange(20_000).double() + 0.5) / 20_000
    jeffreys = information((theta * (1 - theta)) ** -0.5, theta)
    uniform = information(torch.ones_like(theta), theta)
    assert (round(jeffreys, 2), round(uniform, 2)) == (2.41, 2.24)
    torch.manual_seed(0)
    prior = ObjectivePrior(1, 60, 8.0, (-6.0, 0.0)).double()
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.1)
    for _ in range(num_steps):
        optimizer.zero_grad()
        prior.auxiliary_loss(flips).backward()
        optimizer.step()
    with torch.no_grad():
        z = theta.logit()
        density = prior(None).log_prob(z.unsqueeze(-1)).exp() / (theta * (1 - theta))
    assert information(density, theta) > uniform + share * (jeffreys - uniform)


@torch.no_grad()
def test_loss_bounds_the_information():
    torch.manual_seed(0)
    prior = ObjectivePrior(1, 60, 6.0, (-6.0, 0.0)).double()
    theta = (torch.arange(20_000).double() + 0.5) / 20_000
    density = prior(None).log_prob(theta.logit().unsqueeze(-1)).exp() / (theta * (1 - theta))
    found = torch.stack([-prior.auxiliary_loss(flips) for _ in range(200)])
    assert found.mean() < information(density, theta) + 5 * found.std() / 200**0.5
    assert found.mean() > information(density, theta) - 0.1


@torch.no_grad()
def test_samples_follow_the_density():
    torch.manual_seed(0)
    p = ObjectivePrior(2, 5, 3.0, (-4.0, 0.0)).double()(None)
    check_density_integrates_to_one(p)
    check_sampler_follows_density(p)


def test_only_own_loss_trains_prior():
    torch.manual_seed(0)
    model = instantiate(dgm_run.compose("prior=objective", "prior.num_components=5").model)
    assert not model.prior(None).log_prob(torch.zeros(40)).requires_grad
    model.auxiliary_loss().backward()
    assert model.prior.mean.raw.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.decoder.parameters())
    assert all(parameter.requires_grad for parameter in model.decoder.parameters())


def test_two_levels_are_refused():
    with pytest.raises(ConfigError, match="choose model=vae, or another prior"):
        instantiate(dgm_run.compose("model=hvae", "prior=objective").model)
