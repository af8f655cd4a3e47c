"""Masked autoregressive networks: the i-th outputs depend only on the inputs before i.

Source: M. Germain et al., MADE: masked autoencoder for distribution estimation, 2015,
https://arxiv.org/abs/1502.03509.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run.networks.linear import Linear, linear
from dgm_run.networks.module_list import ModuleList
from dgm_run.networks.products import multiply


class MaskedLinear(Linear):
    """Linear layer whose weights are multiplied by a mask, (out, in)."""

    mask: Tensor

    def __init__(self, mask: Tensor):
        super().__init__(mask.shape[1], mask.shape[0])
        self.load_state_dict(linear(mask.shape[1], mask.shape[0]).state_dict())
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return multiply(x, (self.weight * self.mask).T, self.bias)


class MADE(nn.Module):
    """Masked network (..., L), (..., context_dim) -> (..., P, L); outputs i are functions of the inputs before i.

    Args:
        dim: L.
        hidden_dims: units of the hidden layers, with ELU.
        num_outputs: P, outputs for each input.
        context_dim: dimensions of the context, 0 for none; it enters all first hidden units and all outputs.

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
            next_degrees = torch.arange(width) % max(1, dim - 1)
            layers.append(MaskedLinear((next_degrees.unsqueeze(1) >= degrees).to(torch.get_default_dtype())))
            degrees = next_degrees
        output_degrees = torch.arange(dim).repeat(num_outputs)
        self.layers = ModuleList(layers)
        self.output = MaskedLinear((output_degrees.unsqueeze(1) > degrees).to(torch.get_default_dtype()))
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
    def start_near_constant(self, second_output: float = 0.0) -> "MADE":
        """Shrinks the output layer: outputs start near zero, the second of each input near `second_output`."""
        self.output.weight.mul_(0.1)
        self.output.bias[self.dim : 2 * self.dim] += second_output
        return self
