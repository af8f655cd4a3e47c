import pytest
import torch
from contracts import check_every_parameter_gets_a_gradient

from dgm_run.encoders.conv import ConvEncoder


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 5)])
@pytest.mark.parametrize("activation", ["gated", "relu"])
def test_features_are_as_many_as_it_says_for_any_leading_axes(shape, activation):
    torch.manual_seed(0)
    encoder = ConvEncoder(shape, [4, 3], [5, 3], [2, 2], activation, False)
    x = torch.rand(2, 6, *shape)
    features = encoder(x)
    assert features.shape == (2, 6, encoder.feature_dim)
    torch.testing.assert_close(features[1], encoder(x[1]))
    check_every_parameter_gets_a_gradient(encoder, features)


def test_without_layers_the_features_are_the_image():
    x = torch.rand(4, 1, 3, 3)
    torch.testing.assert_close(ConvEncoder((1, 3, 3), [], [], [], "relu", False)(x), x.flatten(1))
