"""The inverse autoregressive flow.

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
"""The log-odds from which gates start, so that they begin by passing most of their input."""


class IAFPosterior(FlowPosterior):
    """q(z | x) by autoregressive steps that hear of x through a context; each reverses the order of the one before.

    Args:
        encoder: gives the features.
        latent_dim: L.
        log_var_range: of the Gaussian at the start of the flow.
        num_steps: T.
        hidden_dims: of the masked network of every step.
        context_dim: numbers by which the features reach the steps.

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
            raise ValueError(f"context_dim = {context_dim}: without a context the steps hear nothing of x")
        super().__init__(encoder, latent_dim, log_var_range, num_steps, context_dim)
        self.networks = ModuleList(
            MADE(latent_dim, hidden_dims, 2, context_dim).small_steps(OPEN_GATE) for _ in range(num_steps)
        )

    def steps(self, params: Tensor) -> list[Step]:
        return [AutoregressiveStep(network, params, gated=True) for network in self.networks]
