import torch

from dgm_run.encoders.mlp import MLPEncoder
from tests.support.contracts import check_every_parameter_gets_a_gradient


def test_features_have_last_hidden_size():
    encoder = MLPEncoder([1, 2, 3], [7, 5], "gated")
    assert encoder.feature_dim == 5
    assert encoder(torch.rand(4, 1, 2, 3)).shape == (4, 5)


def test_leading_dimensions_pass_through():
    encoder, x = MLPEncoder([1, 2, 3], [5], "tanh"), torch.rand(3, 4, 1, 2, 3)
    torch.testing.assert_close(encoder(x), torch.stack([encoder(row) for row in x]))
    torch.testing.assert_close(encoder(x[0, 0]), encoder(x)[0, 0])


def test_no_hidden_layer_is_identity():
    encoder, x = MLPEncoder([1, 2, 3], [], "gated"), torch.rand(4, 1, 2, 3)
    assert encoder.feature_dim == 6
    assert torch.equal(encoder(x), x.reshape(4, 6))


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    encoder = MLPEncoder([1, 2, 3], [7, 5], "gated")
    check_every_parameter_gets_a_gradient(encoder, encoder(torch.rand(4, 1, 2, 3)))
