import pytest
import torch

from dgm_run.priors.mixture import MixturePrior
from tests.support.contracts import (
    check_density_integrates_to_one,
    check_every_parameter_gets_a_gradient,
    check_sampler_follows_density,
)


def make(latent_dim, num_components=4, log_var_range=(-2.0, 2.0)):
    """A trained prior: components differ in mean, variance and weight."""
    torch.manual_seed(1)
    prior = MixturePrior(latent_dim, num_components, 2.0, log_var_range).double()
    torch.nn.init.normal_(prior.log_var.raw, std=1.5)  # some beyond the range
    torch.nn.init.normal_(prior.logits)
    return prior


@pytest.mark.parametrize("dim", [1, 2])
def test_samples_follow_the_density(dim):
    p = make(dim)(None)
    check_density_integrates_to_one(p, half_width=16, num_points=640)
    check_sampler_follows_density(p)


def test_the_density_is_that_of_torch():
    prior, z = make(3), torch.randn(5, 4, 3, dtype=torch.float64)
    scale = torch.exp(torch.tanh(prior.log_var.raw / 2))
    expected = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=prior.logits),
        torch.distributions.Independent(torch.distributions.Normal(prior.mean, scale), 1),
    )
    torch.testing.assert_close(prior(None).log_prob(z), expected.log_prob(z))


def test_every_parameter_gets_a_gradient():
    prior = make(3)
    check_every_parameter_gets_a_gradient(prior, prior(None).log_prob(torch.randn(5, 3, dtype=torch.float64)))
    assert {name for name, _ in prior.named_parameters()} == {"mean", "log_var.raw", "logits"}


def test_initial_mixture_is_spread():
    torch.manual_seed(0)
    prior = MixturePrior(50, 100, 3.0, [-6.0, 2.0])
    p = prior(None)
    torch.testing.assert_close(p.log_weights.exp(), torch.full((100,), 0.01))
    torch.testing.assert_close(p.components.variance, torch.ones(100, 50))
    assert abs(prior.mean.std().item() / 3 - 1) < 5 * (0.5 / 5000) ** 0.5


def test_no_component_is_refused():
    with pytest.raises(ValueError, match=r"^num_components = 0 must be positive$"):
        MixturePrior(2, 0, 1.0, [-6.0, 2.0])
