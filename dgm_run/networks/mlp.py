"""Multi-layer perceptrons, plain or gated."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from dgm_run.networks.linear import linear

Activation = Literal["gated", "relu", "leaky_relu", "tanh", "softplus", "elu"]

_PLAIN: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": partial(nn.LeakyReLU, 0.2),
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "elu": nn.ELU,
}


class Nonlinearity(nn.Module):
    """What follows a linear layer; a gate halves the channels: value * sigmoid(gate), both from one product.

    Source of the gate: Y. Dauphin et al., Language modeling with gated convolutional networks, 2017,
    https://arxiv.org/abs/1612.08083.

    Args:
        activation: which one.
        axis: of the channels.

    Attributes:
        inputs: how many channels each one that leaves it takes.
    """

    def __init__(self, activation: Activation, axis: int = -1):
        super().__init__()
        self.inputs = 2 if activation == "gated" else 1
        self.function = nn.GLU(axis) if activation == "gated" else _PLAIN[activation]()

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class TwoInputLayer(nn.Module):
    """A hidden layer over two inputs, as over their concatenation: (..., A), (..., B) -> (..., out_dim).

    What the first one adds is made apart, once where many of the second belong to one of the first.
    """

    def __init__(self, first_dim: int, second_dim: int, out_dim: int, activation: Activation):
        super().__init__()
        self.nonlinearity = Nonlinearity(activation)
        width = self.nonlinearity.inputs * out_dim
        both = linear(first_dim + second_dim, width)  # for its start
        self.first, self.second = nn.Linear(first_dim, width, bias=False), nn.Linear(second_dim, width)
        with torch.no_grad():
            self.first.weight.copy_(both.weight[:, :first_dim])
            self.second.weight.copy_(both.weight[:, first_dim:])
            self.second.bias.copy_(both.bias)

    def forward(self, of_first: Tensor, second: Tensor) -> Tensor:
        """`of_first` is self.first(first)."""
        return self.nonlinearity(of_first + self.second(second))


def mlp(in_dim: int, hidden_dims: Sequence[int], activation: Activation) -> nn.Sequential:
    """(..., in_dim) -> (..., hidden_dims[-1]); the identity where there are no hidden layers."""
    layers: list[nn.Module] = []
    for out_dim in hidden_dims:
        nonlinearity = Nonlinearity(activation)
        layers += [linear(in_dim, nonlinearity.inputs * out_dim), nonlinearity]
        in_dim = out_dim
    return nn.Sequential(*layers)
