"""What holds for every energy model of binary units, each at weights of its own."""

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


def test_the_free_energy_sums_out_all_hidden_units(module):
    model = module.make()
    energy.check_free_energy(model, module.log_joint(model))


def test_the_path_starts_at_independent_units(module):
    energy.check_base_is_independent_units(module.make())


def test_every_row_may_have_a_temperature_of_its_own(module):
    energy.check_one_beta_for_each_row(module.make())


def test_the_gradient_by_hand_is_that_of_autograd(module):
    energy.check_gradient_is_that_of_the_free_energy(module.make())


def test_gibbs_sampling_leaves_every_density_on_the_path_as_it_is(module):
    energy.check_gibbs_leaves_every_density_as_it_is(module.make(torch.float32))


def test_long_chains_follow_the_model(module):
    energy.check_chains_reach_the_density(module.make(torch.float32))


def test_missing_pixels_follow_their_conditional(module):
    energy.check_completion_follows_the_conditional(module.make(torch.float32))


def test_a_mix_lies_between_its_ends_row_by_row():
    base, end = torch.zeros(3), torch.ones(2, 3)
    assert mix(base, end, 1.0) is end
    torch.testing.assert_close(mix(base, end, 0.25), torch.full((2, 3), 0.25))
    torch.testing.assert_close(mix(base, end, torch.tensor([0.0, 0.5])), torch.tensor([[0.0] * 3, [0.5] * 3]))


def test_one_pixel_is_flipped_and_all_are_as_likely():
    x = torch.zeros(60_000, 2, 3)
    torch.manual_seed(0)
    flipped = flip_one(x)
    assert (flipped.flatten(1).sum(1) == 1).all()
    assert x.sum() == 0
    frequency = flipped.flatten(1).mean(0)
    assert ((frequency - 1 / 6).abs() < 5 * (5 / 36 / 60_000) ** 0.5).all()
