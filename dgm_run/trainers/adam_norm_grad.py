"""Adam on gradients of length one."""

from collections.abc import Callable
from typing import Any

import torch

NORM_OFFSET = 1e-7
"""Offset of a gradient's length, which may be zero."""


class AdamNormGrad(torch.optim.Adam):
    """Adam on gradients of which each parameter tensor's is divided by its own length.

    Only the direction of a gradient is kept, so that layers learn equally fast at every depth. It takes the arguments
    of Adam.

    Source: J. Tomczak, M. Welling, VAE with a VampPrior, 2018, https://arxiv.org/abs/1705.07120 (its code).
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        if gradients:
            lengths = torch._foreach_norm(gradients)
            torch._foreach_add_(lengths, NORM_OFFSET)
            torch._foreach_div_(gradients, lengths)
        super().step()
        return loss
