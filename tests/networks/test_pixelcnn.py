import torch

from dgm_run.networks.pixelcnn import PixelCNN
from tests.support.pixel_networks import H, W, influence, inputs, make


def test_the_plain_network_has_one():
    of_x, _ = influence(make("pixelcnn"), *inputs())
    seen = of_x[3 * W + 1].view(H, W) > 0  # by the pixel in row 3, column 1
    assert seen[2, :4].all()
    assert not seen[2, 5]  # above it to the right, beyond reach at any depth of the stack


def test_deep_networks_start_undecided():
    torch.manual_seed(0)
    x = (torch.rand(20, 1, 16, 16) < 0.5).float()
    for num_layers in (2, 16):
        network = PixelCNN(1, 1, 1, 32, 7, 3, num_layers)
        logits = network(2 * x - 1, torch.zeros(20, 1, 16, 16))
        assert logits.square().mean().sqrt() < 1.0
