import pytest
import torch

from dgm_run.networks.pixels import PixelsLeft, RowsAbove
from tests.support.pixel_networks import NETWORKS, H, W, influence, inputs, make


@pytest.mark.parametrize("name", NETWORKS)
def test_pixels_see_only_preceding_ones(name):
    of_x, of_context = influence(make(name), *inputs())
    assert not of_x.triu(0).any()
    assert (of_context.diagonal() > 0).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_sampler_matches_full_pass(name):
    network = make(name, in_channels=3)
    x, context = inputs(4, 3)
    with torch.no_grad():
        expected, sampler = network(x, context), network.build_sampler(context)
        for row in range(H):
            sampler.begin_row(row)
            for column in range(W):
                found = sampler.compute_output(column)
                torch.testing.assert_close(found, expected[:, :, row, column], rtol=0, atol=1e-12)
                sampler.put(column, x[:, :, row, column])


@pytest.mark.parametrize("name", NETWORKS)
def test_images_repeat_over_contexts(name):
    network = make(name)
    x, _ = inputs(2)
    _, context = inputs(6)
    torch.testing.assert_close(network(x, context), network(x.repeat(3, 1, 1, 1), context))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("sizes", "message"), [((4, 3, 2), "= 4 must be odd"), ((3, 1, 2), "= 1"), ((3, 3, 0), "num_layers")]
)
def test_what_cannot_be_built_is_refused(name, sizes, message):
    with pytest.raises(ValueError, match=message):
        NETWORKS[name](1, 1, 2, 4, *sizes)


def test_masked_convolution_is_a_sum():
    above, left = RowsAbove(2, 3, 5, has_own_row=False).double(), PixelsLeft(2, 3, 5, has_own_pixel=True).double()
    weight = torch.zeros(3, 2, 5, 5).double()
    with torch.no_grad():
        weight[:, :, :2], weight[:, :, 2, :3] = above.conv.weight, left.conv.weight[:, :, 0]
    x = torch.randn(2, 2, H, W).double()
    expected = torch.nn.functional.conv2d(x, weight, above.conv.bias, padding=2)
    torch.testing.assert_close(above(x) + left(x), expected)
