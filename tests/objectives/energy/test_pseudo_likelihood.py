import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dgm_run.estimators.likelihood.partition import Exact
from dgm_run.models.energy.binary_states import flip_one
from dgm_run.objectives.energy.pseudo_likelihood import PseudoLikelihood
from tests.models.energy.test_rbm import log_joint, make
from tests.support import energy


def pseudo(num_flips):
    return PseudoLikelihood(Exact(20), 0.0, None, None, None, 0.0, num_flips)


def exact_pseudo_likelihood(model, row):
    """sum_d log p(x_d | rest), from the probabilities of x and of its neighbours."""
    p = np.exp(log_joint(model)).sum(1)
    x = energy.states(6)[row]
    total = 0.0
    for d in range(6):
        other = x.copy()
        other[d] = 1 - other[d]
        place = int((energy.states(6) == other).all(1).argmax())
        total += np.log(p[row] / (p[row] + p[place]))
    return total


@pytest.mark.parametrize("num_flips", [1, 3])
def test_random_pixels_are_unbiased(num_flips):
    model = make(torch.float32)
    x = energy.visible_states(model)[[11]].expand(500, 1, 2, 3)
    torch.manual_seed(0)
    losses = np.array([pseudo(num_flips)(model, x)[0].item() for _ in range(200)])
    expected = -exact_pseudo_likelihood(make(), 11)
    assert abs(losses.mean() - expected) < 5 * losses.std(ddof=1) / 200**0.5


def test_the_gradient_is_that_of_the_loss():
    model = make()
    x = energy.visible_states(model)[[3, 11, 40]]
    torch.manual_seed(2)
    loss, _ = pseudo(2)(model, x)
    found = torch.autograd.grad(loss, list(model.parameters()))
    torch.manual_seed(2)
    flipped = flip_one(x.repeat(2, 1, 1, 1))
    surrogate = -6 / 6 * F.logsigmoid(model.free_energy(flipped) - model.free_energy(x).repeat(2)).sum()
    torch.testing.assert_close(loss, surrogate)
    for value, expected in zip(found, torch.autograd.grad(surrogate, list(model.parameters())), strict=True):
        torch.testing.assert_close(value, expected)


def test_no_pixel_is_refused():
    with pytest.raises(ValueError, match="num_flips = 0"):
        pseudo(0)
