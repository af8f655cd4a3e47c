import pytest
import torch

from dgm_run.networks.mlp import TwoInputLayer, mlp
from tests.support.contracts import check_every_parameter_gets_a_gradient

FUNCTIONS = {
    "relu": lambda a: torch.maximum(a, torch.zeros(())),
    "tanh": lambda a: (a.exp() - (-a).exp()) / (a.exp() + (-a).exp()),
    "softplus": lambda a: (1 + a.exp()).log(),
    "elu": lambda a: torch.where(a > 0, a, a.exp() - 1),
}


def test_gated_layer_is_linear_gate():
    layer, x = mlp(4, [3], "gated"), torch.randn(5, 4)
    torch.nn.init.normal_(layer[0].bias)
    (W, V), (b, c) = layer[0].weight.split(3), layer[0].bias.split(3)
    torch.testing.assert_close(layer(x), (x @ W.T + b) / (1 + torch.exp(-(x @ V.T + c))))


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_plain_layers_apply_activation(activation):
    network, x = mlp(4, [3, 2, 6], activation), torch.randn(5, 4)
    expected = x
    for layer in network[::2]:
        torch.nn.init.normal_(layer.bias)
        expected = FUNCTIONS[activation](expected @ layer.weight.T + layer.bias)
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("activation", ["gated", *FUNCTIONS])
def test_every_parameter_gets_a_gradient(activation):
    torch.manual_seed(0)
    network = mlp(4, [6, 3], activation)
    value = network(torch.randn(2, 5, 4))
    assert value.shape == (2, 5, 3)
    check_every_parameter_gets_a_gradient(network, value)


def test_gated_layers_follow_each_other():
    network = mlp(4, [6, 3, 5], "gated")
    assert [tuple(p.shape) for p in network.parameters()] == [(12, 4), (12,), (6, 6), (6,), (10, 3), (10,)]


def test_no_hidden_layer_is_identity():
    x = torch.randn(2, 4)
    assert torch.equal(mlp(4, [], "gated")(x), x)


@pytest.mark.parametrize("activation", ["gated", "tanh"])
def test_two_input_layer_concatenates(activation):
    joint = TwoInputLayer(3, 2, 4, activation)
    alone = mlp(5, [4], activation)
    with torch.no_grad():
        alone[0].weight.copy_(torch.cat([joint.first.weight, joint.second.weight], 1))
        alone[0].bias.copy_(joint.second.bias)
    first, second = torch.randn(6, 3), torch.randn(7, 6, 2)
    expected = alone(torch.cat([first.expand(7, -1, -1), second], -1))
    torch.testing.assert_close(joint(joint.first(first), second), expected)
