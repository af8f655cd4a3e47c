import pytest
import torch

from dgm_run.data.corruptions import BitFlip, MissingAtRandom
from dgm_run.estimators.imputation.gibbs import Gibbs
from dgm_run.models.energy.rbm import RBM
from tests.support import energy, truth


@torch.no_grad()
def test_means_and_draws_match_enumeration():
    torch.manual_seed(0)
    model = RBM(truth.SHAPE, 3, 1.0, "zero")
    model.visible_bias.normal_()
    x = energy.visible_states(model)
    p = energy.of_pixels(model, energy.probabilities(model)).double()
    fits = (x.flatten(1)[:, 0] == 1) & (x.flatten(1)[:, 2] == 0)
    means = (p[fits] @ x.flatten(1)[fits].double()) / p[fits].sum()
    found = Gibbs(120, 20)(model, truth.OBSERVED.expand(3000, -1, -1, -1), MissingAtRandom(0.5), 5)
    assert found.mean.mean(0).flatten().numpy() == pytest.approx(means.numpy(), abs=0.01)
    assert found.draws.mean((0, 1)).flatten().numpy() == pytest.approx(means.numpy(), abs=0.02)
    assert found.log_p is None


def test_only_missing_values_are_filled():
    model = RBM(truth.SHAPE, 3, 1.0, "zero")
    assert Gibbs(5, 1).supports(model, MissingAtRandom(0.5))
    assert not Gibbs(5, 1).supports(model, BitFlip(0.1))
    assert not Gibbs(5, 1).supports(truth.binary_vae(), MissingAtRandom(0.5))
