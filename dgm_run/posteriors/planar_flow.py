"""Planar flows.

Source: D. J. Rezende, S. Mohamed, Variational inference with normalizing flows, 2015,
https://arxiv.org/abs/1505.05770, section 4.1 and appendix A.1.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.distributions.flow import Step
from dgm_run.encoders.base import Encoder
from dgm_run.posteriors.flow import FlowPosterior

SHIFT = math.log(math.e - 1)
"""Shift of the softplus argument that makes m(0) = 0."""


class PlanarStep(Step):
    """Planar step z + v tanh(w'z + b), invertible because w'v > -1.

    v = u + (m(w'u) - w'u) w / |w|^2 gives w'v = m(w'u) > -1. m(t) = softplus(t + log(e - 1)) - 1 is the paper's
    function shifted to m(0) = 0. Without the shift v is unbounded for small w.

    Args:
        w: (*batch, L).
        u: (*batch, L).
        b: (*batch,).
    """

    def __init__(self, w: Tensor, u: Tensor, b: Tensor):
        self.w = w
        self.u = u
        self.b = b

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        wu = (self.w * self.u).sum(-1)
        norm = self.w.square().sum(-1) + 1e-12
        one_plus_wv = F.softplus(wu + SHIFT)  # (*batch,), 1 + m(w'u)
        v = self.u + ((one_plus_wv - 1 - wu) / norm).unsqueeze(-1) * self.w
        h = torch.tanh((z * self.w).sum(-1) + self.b)
        # 1 + (1 - h^2) w'v as a sum of positive numbers, because m rounds to -1 where w'u is below -17
        det = h.square() + (1 - h.square()) * one_plus_wv
        log_det = torch.log(det.clamp(min=torch.finfo(det.dtype).tiny))
        return z + v * h.unsqueeze(-1), log_det

    def map(self, function: Callable[[Tensor], Tensor]) -> "PlanarStep":
        return PlanarStep(function(self.w), function(self.u), function(self.b))


class PlanarFlowPosterior(FlowPosterior):
    """q(z | x) of planar steps with parameters that depend on x.

    Args:
        encoder: computes the features.
        latent_dim: L.
        log_var_range: interval of the initial Gaussian's log-variances.
        num_steps: T.
    """

    def __init__(self, encoder: Encoder, latent_dim: int, log_var_range: Sequence[float], num_steps: int):
        super().__init__(encoder, latent_dim, log_var_range, num_steps, num_steps * (2 * latent_dim + 1))

    def build_steps(self, params: Tensor) -> list[Step]:
        dim = self.latent_dim
        return [PlanarStep(p[..., :dim], p[..., dim:-1], p[..., -1]) for p in params.chunk(self.num_steps, -1)]
