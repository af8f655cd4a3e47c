"""Multi-layer perceptrons, plain or gated."""

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run.networks.linear import linear

Activation = Literal["gated", "relu", "tanh", "softplus", "elu"]

_PLAIN = {"relu": nn.ReLU, "tanh": nn.Tanh, "softplus": nn.Softplus, "elu": nn.ELU}


class GatedLinear(nn.Module):
    """(W x + b) * sigmoid(V x + c), value and gate from one matrix product.

    Source: Y. Dauphin et al., Language modeling with gated convolutional networks, 2017,
    https://arxiv.org/abs/1612.08083.
    """

    def __init__(self, in_dim: int, out_dim: int):
        super().__init__()
        self.linear = linear(in_dim, 2 * out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(self.linear(x), -1)


def mlp(in_dim: int, hidden_dims: Sequence[int], activation: Activation) -> nn.Sequential:
    """(..., in_dim) -> (..., hidden_dims[-1]); the identity where there are no hidden layers."""
    layers: list[nn.Module] = []
    for out_dim in hidden_dims:
        if activation == "gated":
            layers.append(GatedLinear(in_dim, out_dim))
        else:
            layers += [linear(in_dim, out_dim), _PLAIN[activation]()]
        in_dim = out_dim
    return nn.Sequential(*layers)
