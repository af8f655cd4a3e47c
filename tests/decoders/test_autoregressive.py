from functools import partial

import pytest
import torch

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.decoders.autoregressive import AutoregressiveDecoder
from dgm_run.likelihoods.bernoulli import BernoulliLikelihood
from dgm_run.likelihoods.gaussian import GaussianLikelihood
from dgm_run.networks.gated_pixelcnn import GatedPixelCNN
from dgm_run.networks.pixelcnn import PixelCNN
from tests.support.contracts import check_every_parameter_gets_a_gradient


def decoder(network, likelihood):
    torch.manual_seed(0)
    settings = {"channels": 16, "first_kernel_size": 5, "kernel_size": 3, "num_layers": 3}
    return AutoregressiveDecoder(3, 2, partial(network, **settings), likelihood)


@pytest.mark.parametrize("network", [PixelCNN, GatedPixelCNN])
def test_z_reaches_every_pixel(network):
    made, x = decoder(network, BernoulliLikelihood((1, 4, 4))), torch.rand(2, 1, 4, 4).round()

    def logits(z):
        p = made(z)
        return p.network(2 * x - 1, p.context)

    of_z = torch.autograd.functional.jacobian(logits, torch.randn(2, 3))  # (B, 1, H, W, B, L)
    assert (of_z[0, 0, :, :, 0].abs().sum(-1) > 0).all()
    assert not of_z[0, 0, :, :, 1].any()
    check_every_parameter_gets_a_gradient(made, made(torch.randn(6, 2, 3)).log_prob(x))


def test_a_scale_for_every_pixel_is_refused():
    likelihood = GaussianLikelihood((1, 4, 4), 1.0, "element", 0.01, 0.0, squash=False)
    with pytest.raises(ValueError, match="learn_scale to no, shared or predicted"):
        decoder(PixelCNN, likelihood)


@pytest.mark.parametrize(("name", "network"), [("pixelcnn", PixelCNN), ("gated_pixelcnn", GatedPixelCNN)])
def test_settings_reach_the_network(name, network):
    small = ("decoder.network.channels=6", "decoder.network.num_layers=3", "decoder.map_channels=2")
    found = instantiate(dgm_run.compose(f"decoder={name}", *small).model).decoder
    expected = network(1, 1, 2, channels=6, first_kernel_size=7, kernel_size=3, num_layers=3)
    assert isinstance(found.network, network)
    shapes = [[tuple(p.shape) for p in made.parameters()] for made in (found.network, expected)]
    assert shapes[0] == shapes[1]
