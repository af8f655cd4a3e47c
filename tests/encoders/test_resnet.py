import pytest
import torch

from dgm_run.encoders.resnet import ResNetEncoder
from tests.support.contracts import check_every_parameter_gets_a_gradient


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 5)])
def test_feature_shape_for_any_axes(shape):
    torch.manual_seed(0)
    encoder = ResNetEncoder(shape, [4, 3, 5], 2)
    x = torch.rand(2, 6, *shape)
    features = encoder(x)
    assert features.shape == (2, 6, encoder.feature_dim)
    torch.testing.assert_close(features[1], encoder(x[1]))
    check_every_parameter_gets_a_gradient(encoder, features)


def test_no_stage_is_refused():
    with pytest.raises(ValueError, match="needs a stage"):
        ResNetEncoder((1, 8, 8), [], 2)
