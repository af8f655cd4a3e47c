"""Mixture of Gaussians with free means, variances and weights."""

from collections.abc import Sequence

import torch
from torch import nn

from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian
from dgm_run.distributions.mixture import Mixture
from dgm_run.networks.bounded import BoundedParameter
from dgm_run.posteriors.base import Posterior
from dgm_run.priors.base import StandalonePrior


class MixturePrior(StandalonePrior):
    """p(z) = sum_k w_k N(z; m_k, diag(exp(v_k))).

    Args:
        latent_dim: L.
        num_components: K.
        init_scale: standard deviation of the initial means; variances start at one, weights equal.
        log_var_range: interval of the log-variances, which bounds the density of a component on a single point.

    Raises:
        ValueError: there is no component, or a scale is negative.
    """

    def __init__(self, latent_dim: int, num_components: int, init_scale: float, log_var_range: Sequence[float]):
        super().__init__()
        if num_components < 1:
            raise ValueError(f"num_components = {num_components} must be positive")
        if init_scale < 0:
            raise ValueError(f"init_scale = {init_scale} must not be negative")
        self.mean = nn.Parameter(init_scale * torch.randn(num_components, latent_dim))
        self.log_var = BoundedParameter(torch.zeros(num_components, latent_dim), log_var_range)
        self.logits = nn.Parameter(torch.zeros(num_components))

    def forward(self, posterior: Posterior | None) -> Mixture:
        components = DiagonalGaussian(self.mean, self.log_var())
        return Mixture(components, self.logits.log_softmax(0))
