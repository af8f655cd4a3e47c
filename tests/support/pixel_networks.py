"""Pixel networks at random weights, and what their outputs depend on."""

import torch

from dgm_run.networks.gated_pixelcnn import GatedPixelCNN
from dgm_run.networks.pixelcnn import PixelCNN

H, W = 5, 6
NETWORKS = {"pixelcnn": PixelCNN, "gated_pixelcnn": GatedPixelCNN}


def make(name, num_layers=4, in_channels=1, out_channels=2):
    torch.manual_seed(0)
    network = NETWORKS[name](in_channels, out_channels, 2, 6, 5, 3, num_layers).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.02, 0.3)
    return network


def influence(network, x, context):
    """Returns how much output i depends on pixel j, and on the context there, in raster order, (H W, H W) each."""
    of_x, of_context = torch.autograd.functional.jacobian(network, (x, context))
    return (j.abs().sum((0, 1, 4, 5)).flatten(0, 1).flatten(1) for j in (of_x, of_context))


def inputs(num=1, channels=1):
    torch.manual_seed(1)
    return torch.randn(num, channels, H, W).double(), torch.randn(num, 2, H, W).double()
