"""Affine autoregressive step of inverse and masked autoregressive flows.

Sources: D. P. Kingma et al., Improved variational inference with inverse autoregressive flow, 2016,
https://arxiv.org/abs/1606.04934; G. Papamakarios et al., Masked autoregressive flow for density estimation, 2017,
https://arxiv.org/abs/1705.07057.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run.distributions.flow import Step, freeze_network

MAX_LOG_SCALE = 4.0
"""Bound of |log a_i| in a step without gates, so that a step scales by at most exp(4) = 55."""


class AutoregressiveStep(Step):
    """Step z_i -> a_i z_i + b_i, followed by a reversal of the order; a_i and b_i depend on z_1, ..., z_{i-1}.

    A gated step has a_i = sigmoid(s_i) and b_i = (1 - a_i) m_i: it is stable, but can only contract. Otherwise
    a_i = exp(s_i), with s_i softly bounded by +-`MAX_LOG_SCALE`, and b_i = m_i. The map takes one pass of the network,
    and its inverse takes L.

    Args:
        network: autoregressive network, (..., L), context -> (..., 2, L), m and s.
        context: (*batch, context_dim), or None.
        is_gated: whether the step is gated.
    """

    def __init__(self, network: nn.Module | Callable[..., Tensor], context: Tensor | None, is_gated: bool):
        self.network = network
        self.context = context
        self.is_gated = is_gated

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        a, b, log_a = self._scale_and_shift(z)
        return (a * z + b).flip(-1), log_a.sum(-1)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        image = z.flip(-1)
        if self.context is not None:
            image = image.expand(*torch.broadcast_shapes(z.shape[:-1], self.context.shape[:-1]), -1)
        preimage = torch.zeros_like(image)
        for i in range(z.shape[-1]):
            a, b, log_a = self._scale_and_shift(preimage)
            value = (image[..., i] - b[..., i]) / a[..., i]
            preimage = torch.cat([preimage[..., :i], value.unsqueeze(-1), preimage[..., i + 1 :]], -1)
        return preimage, log_a.sum(-1)  # the last pass lacked only the last input, which no output reads

    def _scale_and_shift(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Computes a, b and log a, (..., L) each."""
        m, s = self.network(z, self.context).unbind(-2)
        if self.is_gated:
            a = s.sigmoid()
            return a, (1 - a) * m, F.logsigmoid(s)
        log_a = MAX_LOG_SCALE * torch.tanh(s / MAX_LOG_SCALE)
        return log_a.exp(), m, log_a

    def map(self, function: Callable[[Tensor], Tensor]) -> "AutoregressiveStep":
        return AutoregressiveStep(self.network, None if self.context is None else function(self.context), self.is_gated)

    def detach(self) -> "AutoregressiveStep":
        step = self.map(Tensor.detach)
        return AutoregressiveStep(freeze_network(self.network), step.context, self.is_gated)
