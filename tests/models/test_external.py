"""Models trained elsewhere: their contract, and its refusals."""

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Categorical, Independent, Normal

from dgm_run.errors import ConfigError
from dgm_run.models.autoregressive import Autoregressive
from dgm_run.models.base import ExactModel, LatentVariableModel
from dgm_run.models.external import build_external_model, get_module

SHAPE = (1, 2, 3)


class Latent(nn.Module):
    """Latent-variable model of binary images that takes one batch axis alone."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(6, 4)
        self.decoder = nn.Linear(2, 6)

    def infer(self, x):
        mean, log_scale = self.encoder(x.flatten(1)).chunk(2, -1)
        return Independent(Normal(mean, log_scale.exp()), 1)

    def latent_prior(self):
        return Independent(Normal(torch.zeros(2), torch.ones(2)), 1)

    def decode(self, z):
        assert z.dim() == 2
        return Independent(Bernoulli(logits=self.decoder(z).view(-1, *SHAPE)), 3)


class Exact(nn.Module):
    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.randn(SHAPE))

    def log_prob(self, x):
        return Independent(Bernoulli(logits=self.logits), 3).log_prob(x)


class Sampler(nn.Module):
    def sample(self, n):
        return torch.zeros(n, *SHAPE)


def build(module: nn.Module):
    return build_external_model(lambda: module, None, SHAPE)


def test_log_weights_of_a_latent_model():
    torch.manual_seed(0)
    module, x = Latent(), torch.bernoulli(torch.full((5, *SHAPE), 0.5))
    model = build(module)
    assert isinstance(model, LatentVariableModel)
    terms = model.sample_terms(x, 3)
    for s in range(3):
        for b in range(5):
            z = terms.z[s, b].unsqueeze(0)
            log_w = module.decode(z).log_prob(x[b]) + module.latent_prior().log_prob(z)
            log_w = log_w - module.infer(x[b].unsqueeze(0)).log_prob(z)
            torch.testing.assert_close(terms.log_w[s, b], log_w[0], atol=1e-5, rtol=1e-5)


def test_samples_of_a_latent_model():
    assert build(Latent()).sample(7).shape == (7, *SHAPE)


def test_exact_model():
    module = Exact()
    model = build(module)
    assert isinstance(model, ExactModel)
    x = torch.ones(4, *SHAPE)
    torch.testing.assert_close(model.log_prob(x), module.log_prob(x))
    with pytest.raises(ConfigError, match=r"Exact has no method sample\(n\)"):
        model.sample(2)


def test_sampler():
    model = build(Sampler())
    assert not isinstance(model, ExactModel | LatentVariableModel)
    assert model.sample(2).shape == (2, *SHAPE)


def test_own_model_is_unchanged():
    own = Autoregressive(1, nn.Linear(1, 1))
    assert build(own) is own
    assert get_module(own) is own


def test_densities_come_before_log_prob():
    module = Latent()
    module.log_prob = lambda x: torch.zeros(len(x))
    assert isinstance(build(module), LatentVariableModel)


def test_construction_keeps_random_numbers_and_mode():
    module = Latent().train()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    build(module)
    assert torch.equal(torch.rand(1), expected)
    assert module.training


@pytest.mark.parametrize(
    ("density", "kinds"),
    [
        (Independent(Bernoulli(torch.full((2, *SHAPE), 0.5)), 3), ("binary",)),
        (Independent(Normal(torch.zeros(2, *SHAPE), 1.0), 3), ("continuous",)),
        (Independent(Categorical(torch.ones(2, *SHAPE, 4)), 3), None),
    ],
)
def test_kinds_of_data(density, kinds):
    module = Latent()
    module.decode = lambda z: density
    assert build(module).takes == kinds


@pytest.mark.parametrize(
    ("method", "returned", "message"),
    [
        ("latent_prior", Normal(torch.zeros(2), 1.0), "wrap it in torch.distributions.Independent|density of vectors"),
        ("latent_prior", torch.zeros(2), r"latent_prior\(\) returns Tensor: return a torch.distributions"),
        ("decode", Bernoulli(torch.full((2, *SHAPE), 0.5)), r"wrap it in torch.distributions.Independent\(p, 3\)"),
        ("decode", Independent(Bernoulli(torch.full((2, 6), 0.5)), 1), r"density of shape \(6,\), and needs \(1, 2, 3"),
        ("decode", Independent(Bernoulli(torch.full((3, *SHAPE), 0.5)), 3), "needs 2 densities"),
    ],
)
def test_wrong_densities(method, returned, message):
    module = Latent()
    setattr(module, method, lambda *args: returned)
    with pytest.raises(ConfigError, match=message):
        build(module)


def test_failing_method_is_named():
    module = Latent()
    module.decoder = nn.Linear(3, 6)
    with pytest.raises(ConfigError, match=r"model.factory: decode\(z\) fails \(RuntimeError: .*shapes"):
        build(module)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Linear(1, 1), "Linear has neither infer, latent_prior, decode nor log_prob nor sample"),
        (object(), "it returns object: return a torch.nn.Module"),
    ],
)
def test_what_is_no_model(module, message):
    with pytest.raises(ConfigError, match=message):
        build(module)


@pytest.mark.parametrize(
    ("module", "method", "returned", "message"),
    [
        (Exact(), "log_prob", torch.zeros(4, 1, 2, 3), r"log_prob\(x\) returns \(4, 1, 2, 3\), and needs \(4,\)"),
        (Exact(), "log_prob", 1.0, r"log_prob\(x\) returns float, and needs \(4,\)"),
        (Sampler(), "sample", torch.zeros(4, 6), r"sample\(n\) returns \(4, 6\), and needs \(4, 1, 2, 3\)"),
        (Latent(), "infer", Independent(Normal(torch.zeros(4, 3), 1.0), 1), r"infer\(x\) is a density of shape \(3,\)"),
    ],
)
def test_check_on_examples(module, method, returned, message):
    setattr(module, method, lambda *args: returned)
    with pytest.raises(ConfigError, match=message):
        build(module).check(torch.ones(4, *SHAPE))
