import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from dgm_run.models.linear.factor_analysis import Moments, mean_log_prob
from dgm_run.models.linear.ppca import PPCA, maximum_likelihood

pytestmark = pytest.mark.usefixtures("double")


def data(n=400, dim=8):
    torch.manual_seed(0)
    return torch.randn(n, 3) @ torch.randn(3, dim) + torch.randn(dim) + 0.4 * torch.randn(n, dim)


def test_closed_form_matches_library():
    x = data()
    n = len(x)
    best = maximum_likelihood(Moments.from_batches([x]), 3, torch.tensor(1e-6))
    peer = PCA(3).fit(x.numpy())
    scale = (n - 1) / n  # it divides by n - 1
    assert best.log_var[0].exp().item() == pytest.approx(peer.noise_variance_ * scale, rel=1e-6)
    covariance = best.weight @ best.weight.T + torch.diag(best.log_var.exp())
    torch.testing.assert_close(covariance, scale * torch.from_numpy(peer.get_covariance()))
    assert mean_log_prob(best, Moments.from_batches([x])).item() == pytest.approx(best.log_prob(x).mean().item())


def test_closed_form_is_the_optimum():
    x = data()
    moments = Moments.from_batches([x])
    best = maximum_likelihood(moments, 3, torch.tensor(1e-6))
    leaves = [best.weight.clone(), best.bias.clone(), best.log_var[:1].clone()]
    for leaf in leaves:
        leaf.requires_grad_()
    weight, bias, log_var = leaves
    value = type(best)(weight, bias, log_var.expand_as(bias)).log_prob(x).mean()
    assert max(gradient.abs().max() for gradient in torch.autograd.grad(value, leaves)) < 1e-8

    torch.manual_seed(1)
    model = PPCA((8,), 3, 1e-3, 0.0).double()
    model.initialize(x)
    seen = torch.stack([model.em_step(moments) for _ in range(500)])
    assert seen.diff().min() > -1e-10
    assert seen[-1].item() == pytest.approx(value.item(), abs=1e-5)
    assert model.raw_log_var.shape == (1,)


def test_one_variance_is_shared_and_floored():
    x = torch.cat([data(dim=4), torch.zeros(400, 4)], 1)
    found = maximum_likelihood(Moments.from_batches([x]), 4, torch.tensor(0.01**2))
    assert found.log_var[0].item() == pytest.approx(2 * math.log(0.01))
    assert len(found.log_var.unique()) == 1


def best_by_numpy(x, latent_dim):
    """The largest mean log-likelihood of a PPCA (Tipping & Bishop 1999, eq. 3 at its maximum)."""
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True))
    noise = values[:-latent_dim].mean()
    log_det = np.log(values[-latent_dim:]).sum() + (len(values) - latent_dim) * math.log(noise)
    return -0.5 * (len(values) * (math.log(2 * math.pi) + 1) + log_det)


def first_step(x, latent_dim=3):
    model = PPCA(x.shape[1:], latent_dim, 0.0, 1e-3)
    model.initialize(x)
    model.em_step(Moments.from_batches(x.split(70)))
    return model


@pytest.mark.parametrize(("std", "offset"), itertools.product([1e-8, 1e-4, 1.0, 1e4, 1e8], [0.0, 1e4, 1e8]))
def test_the_first_step_is_the_maximum(std, offset):
    x = data() * std + offset * std
    model = first_step(x)
    expected = best_by_numpy((x - offset * std).numpy() / std, 3) - 8 * math.log(std)
    assert model.log_prob(x).mean().item() == pytest.approx(expected, rel=1e-6)
    assert model.likelihood_warning is None


@pytest.mark.parametrize("latent_dim", [1, 3, 5])
def test_columns_of_any_scale_are_fitted(latent_dim):
    x = data(dim=6) * torch.tensor([1000.0, 0.01, 1.0, 10.0, 0.1, 100.0])
    model = first_step(x, latent_dim)
    assert model.log_prob(x).mean().item() == pytest.approx(best_by_numpy(x.numpy(), latent_dim), rel=1e-6)
    assert model.likelihood_warning is None


def test_extreme_scales_are_named():
    model = first_step(data(dim=6) * torch.tensor([1e-8, 1.0, 1.0, 1.0, 1.0, 1e8]), 5)
    assert "differ by a factor of 5e+15: standardise the data" in model.likelihood_warning
