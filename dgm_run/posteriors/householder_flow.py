"""Householder flows, which preserve volume.

Source: J. M. Tomczak, M. Welling, Improving variational auto-encoders using Householder flow, 2016,
https://arxiv.org/abs/1611.09630.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from dgm_run.distributions.flow import Step
from dgm_run.encoders.base import Encoder
from dgm_run.networks.linear import linear
from dgm_run.posteriors.base import EvaluablePosterior
from dgm_run.posteriors.flow import FlowPosterior


class HouseholderStep(Step):
    """Reflection (I - 2 v v' / |v|^2) z, its own inverse.

    Args:
        v: (*batch, L).
    """

    def __init__(self, v: Tensor):
        self.v = v

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        scale = 2 * (z * self.v).sum(-1, keepdim=True) / (self.v.square().sum(-1, keepdim=True) + 1e-12)
        return z - scale * self.v, z.new_zeros(())

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self(z)

    def map(self, function: Callable[[Tensor], Tensor]) -> "HouseholderStep":
        return HouseholderStep(function(self.v))


class HouseholderFlowPosterior(FlowPosterior, EvaluablePosterior):
    """q(z | x): a Gaussian rotated by reflections; v_1 is linear in the features, and v_{t+1} in v_t.

    Args:
        encoder: computes the features.
        latent_dim: L.
        log_var_range: interval of the initial Gaussian's log-variances.
        num_steps: T; T = L steps reach every covariance.
    """

    def __init__(self, encoder: Encoder, latent_dim: int, log_var_range: Sequence[float], num_steps: int):
        super().__init__(encoder, latent_dim, log_var_range, num_steps, latent_dim)
        for step in range(1, num_steps):
            self.add_module(f"next_{step}", linear(latent_dim, latent_dim))

    def build_steps(self, params: Tensor) -> list[Step]:
        vectors = [params]
        for step in range(1, self.num_steps):
            vectors.append(self.get_submodule(f"next_{step}")(vectors[-1]))
        return [HouseholderStep(v) for v in vectors]
