"""Radial flows.

Source: D. J. Rezende, S. Mohamed, Variational inference with normalizing flows, 2015,
https://arxiv.org/abs/1505.05770, section 4.1 and appendix A.2.
"""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

from dgm_run.distributions.flow import Step
from dgm_run.encoders.base import Encoder
from dgm_run.posteriors.flow import FlowPosterior


class RadialStep(Step):
    """Radial step z + beta (z - c) / (alpha + |z - c|), invertible because beta > -alpha.

    alpha = softplus(a) > 0 and beta = softplus(b) - alpha.

    Args:
        c: centre, (*batch, L).
        a: (*batch,).
        b: (*batch,).
    """

    def __init__(self, c: Tensor, a: Tensor, b: Tensor):
        self.c = c
        self.a = a
        self.b = b

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        alpha = F.softplus(self.a)
        alpha_plus_beta = F.softplus(self.b)
        centred = z - self.c
        r = centred.norm(dim=-1)
        h = 1 / (alpha + r)
        # 1 + beta h across the radius, 1 + alpha beta h^2 along it, both as sums of positive numbers
        across = (alpha_plus_beta + r) * h
        along = (r.square() + 2 * alpha * r + alpha * alpha_plus_beta) * h.square()
        log_det = (z.shape[-1] - 1) * across.log() + along.log()
        return z + ((alpha_plus_beta - alpha) * h).unsqueeze(-1) * centred, log_det

    def map(self, function: Callable[[Tensor], Tensor]) -> "RadialStep":
        return RadialStep(function(self.c), function(self.a), function(self.b))


class RadialFlowPosterior(FlowPosterior):
    """q(z | x) of radial steps with parameters that depend on x.

    Args:
        encoder: computes the features.
        latent_dim: L.
        log_var_range: interval of the initial Gaussian's log-variances.
        num_steps: T.
    """

    def __init__(self, encoder: Encoder, latent_dim: int, log_var_range: Sequence[float], num_steps: int):
        super().__init__(encoder, latent_dim, log_var_range, num_steps, num_steps * (latent_dim + 2))

    def build_steps(self, params: Tensor) -> list[Step]:
        return [RadialStep(p[..., :-2], p[..., -2], p[..., -1]) for p in params.chunk(self.num_steps, -1)]
