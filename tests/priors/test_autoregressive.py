import math

import pytest
import torch

from dgm_run.priors.autoregressive import AutoregressivePrior
from tests.support.contracts import (
    check_density_integrates_to_one,
    check_every_parameter_gets_a_gradient,
    check_sampler_follows_density,
)


def prior(latent_dim=2):
    torch.manual_seed(0)
    made = AutoregressivePrior(latent_dim, 2, [8]).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return made


@torch.no_grad()
def test_samples_follow_the_density():
    p = prior()(None)
    check_density_integrates_to_one(p, half_width=60.0, num_points=1500)
    check_sampler_follows_density(p)


def test_every_parameter_gets_a_gradient():
    made = prior(4)
    check_every_parameter_gets_a_gradient(made, made(None).log_prob(torch.randn(5, 4).double()))


def test_starts_near_standard_gaussian():
    torch.manual_seed(0)
    z = AutoregressivePrior(5, 4, [20])(None).sample((2000,))
    assert z.mean(0).abs().max() < 0.3
    assert 0.8 < z.std() < 1.25


def test_learns_narrower_density():
    torch.manual_seed(0)
    made = AutoregressivePrior(2, 2, [8])
    optimizer = torch.optim.Adam(made.parameters(), lr=0.01)
    for _ in range(300):
        optimizer.zero_grad()
        loss = -made(None).log_prob(0.25 * torch.randn(500, 2)).mean()
        loss.backward()
        optimizer.step()
    entropy = 2 * (0.5 * math.log(2 * math.pi * math.e) + math.log(0.25))
    assert abs(loss.item() - entropy) < 0.15


def test_no_step_is_refused():
    with pytest.raises(ValueError, match="num_steps = 0"):
        AutoregressivePrior(2, 0, [8])
