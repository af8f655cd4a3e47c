"""Masked networks whose i-th outputs depend only on the inputs before i.

Source: M. Germain et al., MADE: masked autoencoder for distribution estimation, 2015,
https://arxiv.org/abs/1502.03509.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run.networks.linear import linear
from dgm_run.networks.module_list import ModuleList


class MaskedLinear(nn.Linear):
    """Linear layer whose weights are multiplied by a mask, (out, in)."""

    mask: Tensor

    def __init__(self, mask: Tensor):
        super().__init__(mask.shape[1], mask.shape[0])
        self.load_state_dict(linear(mask.shape[1], mask.shape[0]).state_dict())
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class MADE(nn.Module):
    """Maps (..., L) and a context (..., C) to (..., P, L): P outputs for each input, functions of the inputs before it.

    Args:
        dim: L.
        hidden_dims: units of the hidden layers, with ELU.
        num_outputs: P.
        context_dim: C; zero for no context. The context reaches every first hidden unit and every output.

    Raises:
        ValueError: there is no hidden layer, or one with fewer than L - 1 units.
    """

    def __init__(self, dim: int, hidden_dims: Sequence[int], num_outputs: int, context_dim: int = 0):
        super().__init__()
        if not hidden_dims or min(hidden_dims) < dim - 1:
            raise ValueError(
                f"hidden_dims = {list(hidden_dims)}: an autoregressive network over {dim} dimensions needs hidden "
                f"layers of at least {dim - 1} units, one for each input that an output depends on"
            )
        self.dim = dim
        self.num_outputs = num_outputs
        degrees = torch.arange(dim)  # a unit of degree d depends on the inputs 0 ... d
        layers: list[nn.Module] = []
        for width in hidden_dims:
            wider = torch.arange(width) % max(1, dim - 1)
            layers.append(MaskedLinear((wider.unsqueeze(1) >= degrees).to(torch.get_default_dtype())))
            degrees = wider
        last = torch.arange(dim).repeat(num_outputs)
        self.layers = ModuleList(layers)
        self.output = MaskedLinear((last.unsqueeze(1) > degrees).to(torch.get_default_dtype()))
        if context_dim:
            self.from_context = linear(context_dim, hidden_dims[0] + dim * num_outputs)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        h = self.layers[0](z)
        to_output = 0.0
        if context is not None:
            to_first, to_output = self.from_context(context).split([h.shape[-1], self.dim * self.num_outputs], -1)
            h = h + to_first
        for layer in self.layers[1:]:
            h = layer(F.elu(h))
        return (self.output(F.elu(h)) + to_output).unflatten(-1, (self.num_outputs, self.dim))

    @torch.no_grad()
    def start_near_constant(self, second: float = 0.0) -> "MADE":
        """Shrinks the output layer, so that outputs start near zero, and near `second` for the second of each input."""
        self.output.weight.mul_(0.1)
        self.output.bias[self.dim : 2 * self.dim] += second
        return self
