"""Masked networks whose i-th outputs depend on the inputs before i alone.

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
    """A linear layer without the weights that the mask, (out, in), leaves out."""

    mask: Tensor

    def __init__(self, mask: Tensor):
        super().__init__(mask.shape[1], mask.shape[0])
        self.load_state_dict(linear(mask.shape[1], mask.shape[0]).state_dict())
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class MADE(nn.Module):
    """(..., L) and a context (..., C) -> (..., P, L): P outputs for each input, which see those before it.

    Args:
        dim: L.
        hidden_dims: units of the hidden layers, ELU.
        num_outputs: P.
        context_dim: C; zero for none. The context reaches every unit of the first hidden layer and every output.

    Raises:
        ValueError: there is no hidden layer, or one too narrow to carry every input to the outputs after it.
    """

    def __init__(self, dim: int, hidden_dims: Sequence[int], num_outputs: int, context_dim: int = 0):
        super().__init__()
        if not hidden_dims or min(hidden_dims) < dim - 1:
            raise ValueError(
                f"hidden_dims = {list(hidden_dims)}: an autoregressive network over {dim} dimensions needs hidden "
                f"layers of at least {dim - 1} units, one for each of the inputs that an output may see"
            )
        self.dim, self.num_outputs = dim, num_outputs
        degrees = torch.arange(dim)  # a unit of degree d sees the inputs 0 ... d
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
        h, to_output = self.layers[0](z), 0.0
        if context is not None:
            to_first, to_output = self.from_context(context).split([h.shape[-1], self.dim * self.num_outputs], -1)
            h = h + to_first
        for layer in self.layers[1:]:
            h = layer(F.elu(h))
        return (self.output(F.elu(h)) + to_output).unflatten(-1, (self.num_outputs, self.dim))

    @torch.no_grad()
    def small_steps(self, second: float = 0.0) -> "MADE":
        """Starts near outputs that are the same for every input: zero, and `second` for the second one of each."""
        self.output.weight.mul_(0.1)
        self.output.bias[self.dim : 2 * self.dim] += second
        return self
