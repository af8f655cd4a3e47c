"""Inverse autoregressive flow.

Source: D. P. Kingma et al., Improved variational inference with inverse autoregressive flow, 2016,
https://arxiv.org/abs/1606.04934.
"""

from collections.abc import Sequence

from torch import Tensor

from dgm_run.distributions.autoregressive_step import AutoregressiveStep
from dgm_run.distributions.flow import Step
from dgm_run.encoders.base import Encoder
from dgm_run.networks.made import MADE
from dgm_run.networks.module_list import ModuleList
from dgm_run.posteriors.flow import FlowPosterior

OPEN_GATE = 2.0
"""Initial log-odds of the gates, which first pass most of their input."""


class IAFPosterior(FlowPosterior):
    """q(z | x) of autoregressive steps with a context from x; each step reverses the order of its predecessor.

    Args:
        encoder: computes the features.
        latent_dim: L.
        log_var_range: interval of the initial Gaussian's log-variances.
        num_steps: T.
        hidden_dims: hidden layers of the masked network of each step.
        context_dim: dimensions of the context that carries the features to the steps.

    Raises:
        ValueError: there is no step or no context.
    """

    def __init__(
        self,
        encoder: Encoder,
        latent_dim: int,
        log_var_range: Sequence[float],
        num_steps: int,
        hidden_dims: Sequence[int],
        context_dim: int,
    ):
        if context_dim < 1:
            raise ValueError(f"context_dim = {context_dim} must be positive: only the context carries x to the steps")
        super().__init__(encoder, latent_dim, log_var_range, num_steps, context_dim)
        self.networks = ModuleList(
            MADE(latent_dim, hidden_dims, 2, context_dim).start_near_constant(OPEN_GATE) for _ in range(num_steps)
        )

    def build_steps(self, params: Tensor) -> list[Step]:
        return [AutoregressiveStep(network, params, is_gated=True) for network in self.networks]
