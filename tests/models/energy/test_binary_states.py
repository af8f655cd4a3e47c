"""Properties of every energy model of binary units, each at weights of its own."""

import pytest
import torch

from dgm_run.models.energy.binary_states import flip_one, mix
from tests.models.energy import test_boltzmann, test_dbm, test_rbm, test_subspace_rbm, test_tied_rbm
from tests.support import energy

MODELS = {
    "rbm": test_rbm,
    "tied_rbm": test_tied_rbm,
    "subspace_rbm": test_subspace_rbm,
    "boltzmann": test_boltzmann,
    "dbm": test_dbm,
    "dbm of three layers": test_dbm.Three,
}


@pytest.fixture(params=MODELS)
def module(request):
    return MODELS[request.param]


def test_free_energy_sums_hidden_units(module):
    model = module.make()
    energy.check_free_energy(model, module.log_joint(model))


def test_path_starts_at_independent_units(module):
    energy.check_base_is_independent_units(module.make())


def test_beta_may_differ_by_row(module):
    energy.check_one_beta_for_each_row(module.make())


def test_gradient_matches_autograd(module):
    energy.check_gradient_is_that_of_the_free_energy(module.make())


def test_gibbs_keeps_every_path_density(module):
    energy.check_gibbs_leaves_every_density_as_it_is(module.make(torch.float32))


def test_long_chains_follow_the_model(module):
    energy.check_chains_reach_the_density(module.make(torch.float32))


def test_missing_pixels_follow_conditional(module):
    energy.check_completion_follows_the_conditional(module.make(torch.float32))


def test_mix_interpolates_rows():
    base, end = torch.zeros(3), torch.ones(2, 3)
    assert mix(base, end, 1.0) is end
    torch.testing.assert_close(mix(base, end, 0.25), torch.full((2, 3), 0.25))
    torch.testing.assert_close(mix(base, end, torch.tensor([0.0, 0.5])), torch.tensor([[0.0] * 3, [0.5] * 3]))


def test_flip_is_uniform():
    x = torch.zeros(60_000, 2, 3)
    torch.manual_seed(0)
    flipped = flip_one(x)
    assert (flipped.flatten(1).sum(1) == 1).all()
    assert x.sum() == 0
    frequency = flipped.flatten(1).mean(0)
    assert ((frequency - 1 / 6).abs() < 5 * (5 / 36 / 60_000) ** 0.5).all()
