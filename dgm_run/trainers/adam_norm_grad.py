"""Adam on gradients of length one."""

from collections.abc import Callable
from typing import Any

import torch

SMALL = 1e-7
"""Added to a length, as there may be no gradient."""


class AdamNormGrad(torch.optim.Adam):
    """Adam, before which the gradient of each parameter tensor is divided by its own length.

    What is left of a gradient is its direction, so that layers learn alike however deep they lie. The training of
    J. Tomczak, M. Welling, VAE with a VampPrior, 2018, https://arxiv.org/abs/1705.07120 (its code). Takes what Adam
    takes.
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        if gradients:
            lengths = torch._foreach_norm(gradients)
            torch._foreach_add_(lengths, SMALL)
            torch._foreach_div_(gradients, lengths)
        super().step()
        return loss
