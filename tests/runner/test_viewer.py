import pytest
import torch
from torch import nn

from dgm_run.data.corruptions import MissingAtRandom
from dgm_run.models.corrupted import CorruptedModel
from dgm_run.priors.vampprior_data import VampPriorData
from dgm_run.runner.viewer import view, view_all, view_part, weights_to_images
from tests.models.energy import test_dbm, test_dbn, test_rbm, test_subspace_rbm
from tests.models.labelled import test_m1_m2, test_m2
from tests.models.test_base import Sketch
from tests.priors import test_vampprior
from tests.support import truth

ENERGY = {
    "rbm": (test_rbm, test_rbm.NUM_HIDDEN),
    "subspace_rbm": (test_subspace_rbm, test_subspace_rbm.GATES * test_subspace_rbm.UNITS),
    "dbm": (test_dbm, 2),
    "dbn": (test_dbn, 2),
}


def test_latent_models_show_samples():
    model, x = Sketch(), torch.randn(40, 1, 2)
    found = view(model, x)
    assert set(found) == {"samples", "samples_drawn", "reconstructions"}
    assert found["samples"].shape == found["samples_drawn"].shape == (64, 1, 2)
    assert found["reconstructions"].shape == (64, 1, 2)
    assert torch.equal(found["reconstructions"][:8], x[:8])


@pytest.mark.parametrize("name", ENERGY)
def test_energy_models_show_their_filters(name):
    module, num_filters = ENERGY[name]
    found = view_all(module.make(torch.float32), torch.zeros(40, *module.SHAPE))
    num = {"samples": 64, "samples_drawn": 64, "reconstructions": 64, "filters": num_filters}
    assert {name: tuple(images.shape) for name, images in found.items()} == {
        name: (n, *module.SHAPE) for name, n in num.items()
    }


def test_labelled_models_show_their_classes():
    assert view_all(test_m2.model().float(), test_m2.images())["by_class"].shape == (24, 1, 2, 2)


def test_m1_m2_shows_no_parts_of_m1():
    found = view_all(test_m1_m2.model().float(), test_m1_m2.images())
    assert set(found) == {"samples", "samples_drawn", "reconstructions", "by_class"}


def test_missing_pixels_are_restored():
    found = view_all(CorruptedModel(truth.binary_vae(), MissingAtRandom(0.5)), truth.OBSERVED.expand(8, -1, -1, -1))
    assert found["samples"].shape == (64, *truth.SHAPE)
    assert found["reconstructions"].shape == (16, *truth.SHAPE)
    assert found["reconstructions"][0].flatten().tolist() == [1.0, 0.5, 0.0, 0.5]
    restored = found["reconstructions"][8].flatten()
    assert restored[[0, 2]].tolist() == [1.0, 0.0]
    assert ((restored[[1, 3]] > 0) & (restored[[1, 3]] < 1)).all()


def test_vampprior_shows_64_pseudo_inputs():
    prior = test_vampprior.make(num_components=70)
    found = view_part(prior, torch.zeros(1, *test_vampprior.SHAPE))
    assert torch.equal(found["pseudo_inputs"], prior.pseudo_inputs[:64])
    of_data = VampPriorData((1, 2, 2), 70)
    of_data.initialize(torch.rand(70, 1, 2, 2))
    assert torch.equal(view_part(of_data, torch.zeros(1, 1, 2, 2))["pseudo_inputs"], of_data.pseudo_inputs[:64])


def test_other_kinds_register_their_pictures():
    class Mine(nn.Module):
        pass

    assert view_all(Mine(), torch.zeros(1)) == {}
    view.register(Mine, lambda model, x: {"x": x})
    assert view_all(Mine(), torch.zeros(1)) == {"x": torch.zeros(1)}


def test_filters_are_grey_where_a_weight_is_zero():
    images = weights_to_images(torch.tensor([[2.0, 0], [-2, 0], [0, 0], [1, 0]]), (1, 2, 2))
    torch.testing.assert_close(images[0].flatten(), torch.tensor([1.0, 0.0, 0.5, 0.75]))
    torch.testing.assert_close(images[1].flatten(), torch.full((4,), 0.5))
