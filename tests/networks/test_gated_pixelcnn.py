import torch

from tests.support.pixel_networks import H, W, influence, inputs, make


def test_the_gated_stacks_have_no_blind_spot():
    of_x, _ = influence(make("gated_pixelcnn"), *inputs())
    assert (of_x[*torch.tril_indices(H * W, H * W, -1)] > 0).all()
