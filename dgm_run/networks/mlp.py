"""Multi-layer perceptrons, plain or gated."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from dgm_run.networks.linear import Linear, linear

Activation = Literal["gated", "relu", "leaky_relu", "tanh", "softplus", "elu"]

_PLAIN: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": partial(nn.LeakyReLU, 0.2),
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "elu": nn.ELU,
}


class Nonlinearity(nn.Module):
    """Nonlinearity after a linear layer; the gate value * sigmoid(gate) takes two input channels for one output.

    Source of the gate: Y. Dauphin et al., Language modeling with gated convolutional networks, 2017,
    https://arxiv.org/abs/1612.08083.

    Args:
        activation: name of the nonlinearity.
        axis: axis of the channels.

    Attributes:
        inputs: input channels for each output channel.
    """

    def __init__(self, activation: Activation, axis: int = -1):
        super().__init__()
        self.inputs = 2 if activation == "gated" else 1
        self.function = nn.GLU(axis) if activation == "gated" else _PLAIN[activation]()

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class TwoInputLayer(nn.Module):
    """Hidden layer over the concatenation of two inputs: (..., first_dim), (..., second_dim) -> (..., out_dim).

    The first input's product, `first`, is computed separately: once for all second inputs that share it.

    Args:
        first_dim: dimensions of the first input.
        second_dim: dimensions of the second input.
        out_dim: units of the layer.
        activation: nonlinearity of the layer.
    """

    def __init__(self, first_dim: int, second_dim: int, out_dim: int, activation: Activation):
        super().__init__()
        self.nonlinearity = Nonlinearity(activation)
        width = self.nonlinearity.inputs * out_dim
        both = linear(first_dim + second_dim, width)  # for its initialization
        self.first = Linear(first_dim, width, bias=False)
        self.second = Linear(second_dim, width)
        with torch.no_grad():
            self.first.weight.copy_(both.weight[:, :first_dim])
            self.second.weight.copy_(both.weight[:, first_dim:])
            self.second.bias.copy_(both.bias)

    def forward(self, first_term: Tensor, second: Tensor) -> Tensor:
        """Combines first_term = self.first(first input) with the second input."""
        return self.nonlinearity(first_term + self.second(second))


def mlp(in_dim: int, hidden_dims: Sequence[int], activation: Activation) -> nn.Sequential:
    """Builds an MLP, (..., in_dim) -> (..., hidden_dims[-1]); the identity without hidden layers."""
    layers: list[nn.Module] = []
    for out_dim in hidden_dims:
        nonlinearity = Nonlinearity(activation)
        layers += [linear(in_dim, nonlinearity.inputs * out_dim), nonlinearity]
        in_dim = out_dim
    return nn.Sequential(*layers)
