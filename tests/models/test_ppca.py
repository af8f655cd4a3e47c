import math

import pytest
import torch
from sklearn.decomposition import PCA

from dgm_run.models.factor_analysis import Moments, mean_log_prob
from dgm_run.models.ppca import PPCA, maximum_likelihood

pytestmark = pytest.mark.usefixtures("double")


def data(n=400, dim=8):
    torch.manual_seed(0)
    return torch.randn(n, 3) @ torch.randn(3, dim) + torch.randn(dim) + 0.4 * torch.randn(n, dim)


def test_the_closed_form_is_that_of_another_library():
    x = data()
    n = len(x)
    best = maximum_likelihood(Moments.of([x]), 3, 1e-6)
    peer = PCA(3).fit(x.numpy())
    scale = (n - 1) / n  # it divides by n - 1
    assert best.log_var[0].exp().item() == pytest.approx(peer.noise_variance_ * scale, rel=1e-6)
    covariance = best.weight @ best.weight.T + torch.diag(best.log_var.exp())
    torch.testing.assert_close(covariance, scale * torch.from_numpy(peer.get_covariance()))
    assert mean_log_prob(best, Moments.of([x])).item() == pytest.approx(best.log_prob(x).mean().item())


def test_the_closed_form_is_where_gradients_end_and_steps_lead():
    x = data()
    moments = Moments.of([x])
    best = maximum_likelihood(moments, 3, 1e-6)
    leaves = [best.weight.clone(), best.bias.clone(), best.log_var[:1].clone()]
    for leaf in leaves:
        leaf.requires_grad_()
    weight, bias, log_var = leaves
    value = type(best)(weight, bias, log_var.expand_as(bias)).log_prob(x).mean()
    assert max(gradient.abs().max() for gradient in torch.autograd.grad(value, leaves)) < 1e-8

    torch.manual_seed(1)
    model = PPCA((8,), 3, 1e-3).double()
    model.initialize(x)
    seen = torch.stack([model.em_step(moments) for _ in range(500)])
    assert seen.diff().min() > -1e-10
    assert seen[-1].item() == pytest.approx(value.item(), abs=1e-5)
    assert model.raw_log_var.shape == (1,)


def test_one_variance_is_shared_and_floored():
    x = torch.cat([data(dim=4), torch.zeros(400, 4)], 1)
    found = maximum_likelihood(Moments.of([x]), 4, 0.01**2)
    assert found.log_var[0].item() == pytest.approx(2 * math.log(0.01))
    assert len(found.log_var.unique()) == 1
