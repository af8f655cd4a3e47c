import pytest
import torch
import torch.nn.functional as F

from dgm_run.encoders.conv import ConvEncoder
from tests.support.contracts import check_every_parameter_gets_a_gradient


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 5)])
@pytest.mark.parametrize("activation", ["gated", "relu"])
def test_feature_shape_for_any_axes(shape, activation):
    torch.manual_seed(0)
    encoder = ConvEncoder(shape, [4, 3], [5, 3], [2, 2], activation, False, [])
    x = torch.rand(2, 6, *shape)
    features = encoder(x)
    assert features.shape == (2, 6, encoder.feature_dim)
    torch.testing.assert_close(features[1], encoder(x[1]))
    check_every_parameter_gets_a_gradient(encoder, features)


def test_no_layers_give_the_image():
    x = torch.rand(4, 1, 3, 3)
    torch.testing.assert_close(ConvEncoder((1, 3, 3), [], [], [], "relu", False, [])(x), x.flatten(1))


def test_first_layer_is_full_convolution():
    torch.manual_seed(0)
    encoder = ConvEncoder((1, 8, 8), [4], [3], [2], "relu", False, [5])
    x = torch.rand(2, 3, 1, 8, 8)
    linear = encoder.above[0]
    seen = encoder.network(x.flatten(0, 1))  # (6, 4, 4, 4)
    expected = F.conv2d(seen, linear.weight.view(5, 4, 4, 4), linear.bias).relu().view(2, 3, 5)
    torch.testing.assert_close(encoder(x), expected)
    assert encoder.feature_dim == 5
