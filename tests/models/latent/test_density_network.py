import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

import dgm_run
from dgm_run.config.compose import instantiate

pytestmark = pytest.mark.usefixtures("double")

GAUSSIAN = ("likelihood=gaussian", "dataset.binarize=none", "dataset.dequantize=true")


def model(*overrides):
    torch.manual_seed(0)
    cfg = dgm_run.compose("model=density_network", "decoder.hidden_dims=[5]", *overrides)
    return instantiate(cfg.model).double()


@pytest.mark.parametrize("overrides", [(), GAUSSIAN, (*GAUSSIAN, "likelihood.learn_scale=element"),
                                       (*GAUSSIAN, "likelihood.learn_scale=predicted"),
                                       ("likelihood=discretized_logistic", "dataset.binarize=none")])  # fmt: skip
def test_pairwise_likelihoods_match(overrides):
    m = model(*overrides)
    x, z = torch.randint(17, (6, 1, 8, 8)) / 16, 2 * torch.randn(4, 2)
    if not overrides:
        x = x.round()
    found = m.log_likelihoods(x, z)
    expected = torch.stack([m.decode(row).log_prob(x) for row in z], 1)
    torch.testing.assert_close(found, expected)


def test_mean_matches_quadrature():
    m = model()
    x = torch.rand(5, 1, 8, 8).round()
    axis = torch.linspace(-8, 8, 401)
    z = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        log_prior = -0.5 * z.square().sum(-1) - math.log(2 * math.pi)
        table = (m.log_likelihoods(x, z) + log_prior).numpy()
        expected = logsumexp(table, 1) + 2 * np.log((axis[1] - axis[0]).item())
        weights = m.log_weights(x, 50_000)
        drawn = m.log_likelihoods(x, m.latent_prior().sample((100_000,))).logsumexp(1) - math.log(100_000)
    assert np.abs((weights.logsumexp(0) - math.log(50_000)).numpy() - expected).max() < 0.05
    assert np.abs(drawn.numpy() - expected).max() < 0.05


def test_reconstruction_explains_x():
    m = model()
    with torch.no_grad():
        m.decoder.output.weight.mul_(20)
        z = m.latent_prior().sample((30,))
        x = m.decode(z).sample()
        found = m.reconstruct(x)
    ours = (found.round() - x).abs().mean()
    others = (found.round() - x[torch.randperm(30)]).abs().mean()
    assert ours < 0.5 * others
