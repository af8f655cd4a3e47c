import pytest
import torch
import torch.nn.functional as F

from dgm_run.networks.conv import apply_over_batch, conv, conv_layers, divide_size, image_size


@pytest.mark.parametrize(("size", "kernel_size", "stride"), [(8, 3, 1), (7, 3, 2), (8, 5, 2), (5, 1, 3)])
def test_stride_divides_size_rounded_up(size, kernel_size, stride):
    found = conv(2, 3, kernel_size, stride)(torch.randn(1, 2, size, size)).shape[-1]
    assert found == -(-size // stride)


def test_a_gated_layer_halves_its_channels():
    network, x = conv_layers(1, [2], [3], [1], "gated", False), torch.randn(4, 1, 5, 5)
    value, openness = F.conv2d(x, network[0].weight, network[0].bias, padding=1).chunk(2, 1)
    torch.testing.assert_close(network(x), value * openness.sigmoid())


def test_upsampling_precedes_convolution():
    network, x = conv_layers(1, [1], [1], [2], "relu", False, is_upsampling=True), torch.rand(1, 1, 2, 2)
    with torch.no_grad():
        network[1].weight.fill_(1.0)
    torch.testing.assert_close(network(x), x.repeat_interleave(2, -1).repeat_interleave(2, -2))


def test_leading_axes_are_carried_through():
    network, x = conv(1, 2, 3), torch.randn(3, 4, 1, 5, 5)
    torch.testing.assert_close(apply_over_batch(network, x, 3), torch.stack([network(images) for images in x]))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: conv(1, 1, 4), "4 is even: choose an odd number"),
        (lambda: conv(0, 1, 3), "must be positive"),
        (lambda: conv_layers(1, [2, 3], [3], [1, 1], "relu", False), "they have 2, 1 and 2"),
        (lambda: image_size((64,)), "need images"),
        (lambda: divide_size(28, 28, 8), "28 x 28 is not divisible by 8"),
    ],
)
def test_what_cannot_be_built_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
