"""Stick-breaking prior.

Source: E. Nalisnick, P. Smyth, Stick-breaking variational autoencoders, 2017, https://arxiv.org/abs/1605.06197.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.distributions.kumaraswamy import LogitKumaraswamy
from dgm_run.posteriors.base import Posterior
from dgm_run.priors.base import StandalonePrior


class StickBreakingPrior(StandalonePrior):
    """v_k = sigmoid(z_k) ~ Beta(1, alpha_0), the fraction broken off the rest of a stick of length one.

    The decoder reads the pieces pi_k = v_k prod_{j < k} (1 - v_j). The rest of the stick is the last piece.
    posterior=kumaraswamy gives the Kumaraswamy auto-encoder of the paper, posterior=gaussian its logit-normal one.

    Args:
        latent_dim: L, one less than the number of pieces.
        concentration: alpha_0; a larger value makes more and smaller pieces.

    Raises:
        ValueError: the concentration is not positive.
    """

    ones: Tensor

    def __init__(self, latent_dim: int, concentration: float):
        super().__init__()
        if not concentration > 0:
            raise ValueError(f"concentration = {concentration} must be positive")
        self.register_buffer("ones", torch.ones(latent_dim), persistent=False)  # has the module's type and device
        self.concentration = concentration

    def forward(self, posterior: Posterior | None) -> LogitKumaraswamy:
        return LogitKumaraswamy(self.ones, self.concentration * self.ones)

    def compute_decoder_input(self, z: Tensor) -> Tensor:
        log_rest = F.pad(-F.softplus(z), (1, -1)).cumsum(-1)  # log of the rest before each break
        return torch.exp(log_rest - F.softplus(-z))
