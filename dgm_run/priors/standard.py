"""Standard Gaussian prior."""

import torch
from torch import Tensor

from dgm_run.distributions.standard_gaussian import StandardGaussian
from dgm_run.posteriors.base import Posterior
from dgm_run.priors.base import StandalonePrior


class StandardPrior(StandalonePrior):
    """p(z) = N(z; 0, I)."""

    like: Tensor

    def __init__(self, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim
        self.register_buffer("like", torch.zeros(()), persistent=False)  # has the module's type and device

    def forward(self, posterior: Posterior | None) -> StandardGaussian:
        return StandardGaussian(self.latent_dim, self.like)
