"""Adam on gradients of norm one."""

from collections.abc import Callable
from typing import Any

import torch

NORM_OFFSET = 1e-7
"""Offset of a gradient's norm, which may be zero."""


class AdamNormGrad(torch.optim.Adam):
    """Adam on normalised gradients: the gradient of each parameter tensor is divided by its norm.

    Only the direction of a gradient counts, so that layers learn equally fast at every depth. The arguments are those
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
            norms = torch._foreach_norm(gradients)
            torch._foreach_add_(norms, NORM_OFFSET)
            torch._foreach_div_(gradients, norms)
        super().step()
        return loss
