import copy
import itertools

import numpy as np
import pytest
import torch

from dgm_run.models.energy.base import MAX_FINE_STEP, EnergyModel, expand_beta, softplus_increase
from tests.models.energy import test_boltzmann, test_dbm, test_gaussian_rbm, test_rbm, test_subspace_rbm, test_tied_rbm
from tests.support import energy

MAKE = {
    "rbm": test_rbm.make,
    "tied_rbm": test_tied_rbm.make,
    "subspace_rbm": test_subspace_rbm.make,
    "boltzmann": test_boltzmann.make,
    "dbm": test_dbm.make,
    "gaussian_rbm": test_gaussian_rbm.make,
}


def states_of(name, model):
    return (
        2 * torch.randn(64, *model.shape, dtype=torch.float64) if name == "gaussian_rbm" else energy.all_states(model)
    )


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("step", [5e-6, 1e-3, 0.1])
def test_float32_ratios_match_float64(name, step):
    torch.manual_seed(0)
    model = MAKE[name]()
    single = copy.deepcopy(model).float()
    x = states_of(name, model)
    with torch.no_grad():
        for beta in (0.0, 0.3, 1 - step):
            low, high = (model.log_unnormalized(x, model.preactivations(x), at) for at in (beta, beta + step))
            truth = (high - low) / step
            found = single.log_ratio(x.float(), single.preactivations(x.float()), beta, beta + step).double() / step
            torch.testing.assert_close(found, truth, rtol=2e-5, atol=2e-5)


def test_small_steps_add_up_over_a_fine_path():
    """Adds 5,000 steps for 500 hidden units; a difference of two single-precision sums would be off by 0.1 nats."""
    torch.manual_seed(0)
    preactivations = 5 * torch.randn(20, 500)
    betas = np.linspace(0, 1, 5001)
    total = sum(softplus_increase(preactivations, low, high).double() for low, high in itertools.pairwise(betas))
    truth = np.logaddexp(0, preactivations.double().numpy()).sum(1) - 500 * np.log(2)
    np.testing.assert_allclose(total.numpy(), truth, atol=2e-3)


def test_the_largest_fine_step_is_as_good():
    preactivations = 20 * torch.randn(4, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    betas = np.linspace(0, 1, round(1 / MAX_FINE_STEP) + 1)
    total = sum(softplus_increase(preactivations, low, high) for low, high in itertools.pairwise(betas))
    np.testing.assert_allclose(
        total.numpy(), np.logaddexp(0, preactivations.numpy()).sum(1) - 500 * np.log(2), atol=5e-3
    )


def test_expand_beta_for_any_axes():
    beta = torch.tensor([1.0, 2.0])
    assert expand_beta(beta, 3).shape == (2, 1, 1)
    assert expand_beta(0.5, 3) == 0.5


@pytest.mark.parametrize("name", ["rbm", "subspace_rbm", "boltzmann", "gaussian_rbm"])
def test_default_gradient_is_the_closed_one(name):
    model = MAKE[name]()
    x = model.sample_base(5)
    weights = torch.randn(5, dtype=x.dtype)
    fields = model.preactivations(x).detach()
    found = EnergyModel.gradient(model, x, fields, weights)
    expected = model.gradient(x, fields, weights)
    assert set(found) >= set(expected)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value)


class SharedSum(EnergyModel):
    """log f(x) = (a + b)'x + sum c: autograd returns one tensor for a and b, and one number for all of c."""

    shape = (4,)

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (torch.nn.Parameter(torch.zeros(4)) for _ in range(3))

    def preactivations(self, state):
        return state[:, :0]

    def log_unnormalized(self, state, preactivations, beta=1.0):
        return state @ (self.a + self.b) + self.c.sum()

    gibbs_step = sample_base = log_base_partition = log_baseline = None


def test_default_gradients_share_no_memory():
    weights = torch.tensor([1.0, 3.0])
    gradient = SharedSum().gradient(torch.ones(2, 4), torch.ones(2, 0), weights)
    for value in gradient.values():
        value.mul_(0.5)
    for name in ("a", "b", "c"):
        assert gradient[name].tolist() == 4 * [-2.0]


def test_a_model_defines_six_members():
    assert EnergyModel.__abstractmethods__ == {
        "preactivations", "log_unnormalized", "gibbs_step", "sample_base", "log_base_partition", "log_baseline"
    }  # fmt: skip
