"""Autoregressive prior: a masked autoregressive flow.

Sources: X. Chen et al., Variational lossy autoencoder, 2017, https://arxiv.org/abs/1611.02731; G. Papamakarios et
al., Masked autoregressive flow for density estimation, 2017, https://arxiv.org/abs/1705.07057.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dgm_run.distributions.autoregressive_step import AutoregressiveStep
from dgm_run.distributions.flow import Flow, Inverse
from dgm_run.distributions.standard_gaussian import StandardGaussian
from dgm_run.networks.made import MADE
from dgm_run.networks.module_list import ModuleList
from dgm_run.posteriors.base import Posterior
from dgm_run.priors.base import StandalonePrior


class AutoregressivePrior(StandalonePrior):
    """p(z) of a masked autoregressive flow over noise from N(0, I).

    The density takes one pass of each network, and a sample takes L. An inverse autoregressive flow swaps the costs.

    Args:
        latent_dim: L.
        num_steps: T; each step reverses the order of its predecessor.
        hidden_dims: hidden layers of the masked network of each step.

    Raises:
        ValueError: there is no step.
    """

    like: Tensor

    def __init__(self, latent_dim: int, num_steps: int, hidden_dims: Sequence[int]):
        super().__init__()
        if num_steps < 1:
            raise ValueError(f"num_steps = {num_steps} must be positive; for no step choose prior=standard")
        self.latent_dim = latent_dim
        self.networks = ModuleList(MADE(latent_dim, hidden_dims, 2).start_near_constant() for _ in range(num_steps))
        self.register_buffer("like", torch.zeros(()), persistent=False)  # has the module's type and device

    def forward(self, posterior: Posterior | None) -> Flow:
        steps = [Inverse(AutoregressiveStep(network, None, is_gated=False)) for network in self.networks]
        return Flow(StandardGaussian(self.latent_dim, self.like), steps)
