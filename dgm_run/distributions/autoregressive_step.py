"""The affine autoregressive step of inverse and of masked autoregressive flows.

Sources: D. P. Kingma et al., Improved variational inference with inverse autoregressive flow, 2016,
https://arxiv.org/abs/1606.04934; G. Papamakarios et al., Masked autoregressive flow for density estimation, 2017,
https://arxiv.org/abs/1705.07057.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run.distributions.flow import Step, frozen


class AutoregressiveStep(Step):
    """z_i -> g_i z_i + (1 - g_i) m_i, g_i = sigmoid(s_i), m_i and s_i of z_1, ..., z_{i-1}; then the order turns.

    One pass of the network forwards, L of them backwards.

    Args:
        network: (..., L), context -> (..., 2, L), m and s; autoregressive.
        context: (*batch, C), or None.
    """

    def __init__(self, network: nn.Module | Callable[..., Tensor], context: Tensor | None):
        self.network, self.context = network, context

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        m, s = self._m_and_s(z)
        gate = s.sigmoid()
        return torch.lerp(m, z, gate).flip(-1), F.logsigmoid(s).sum(-1)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        wanted = z.flip(-1)
        if self.context is not None:
            wanted = wanted.expand(*torch.broadcast_shapes(z.shape[:-1], self.context.shape[:-1]), -1)
        found = torch.zeros_like(wanted)
        for i in range(z.shape[-1]):
            m, s = self._m_and_s(found)
            gate = s[..., i].sigmoid()
            value = (wanted[..., i] - (1 - gate) * m[..., i]) / gate
            found = torch.cat([found[..., :i], value.unsqueeze(-1), found[..., i + 1 :]], -1)
        return found, F.logsigmoid(s).sum(-1)  # s of the last pass: it saw all but the last

    def _m_and_s(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.network(z, self.context).unbind(-2)

    def map(self, function: Callable[[Tensor], Tensor]) -> "AutoregressiveStep":
        return AutoregressiveStep(self.network, None if self.context is None else function(self.context))

    def detach(self) -> "AutoregressiveStep":
        step = self.map(Tensor.detach)
        return AutoregressiveStep(frozen(self.network), step.context)
