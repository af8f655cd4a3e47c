"""Base of flow posteriors: features give a diagonal Gaussian and the parameters of the steps."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from dgm_run.distributions.base import full_precision
from dgm_run.distributions.diagonal_gaussian import bounded_gaussian
from dgm_run.distributions.flow import Flow, Step
from dgm_run.encoders.base import Encoder
from dgm_run.networks.bounded import check_interval
from dgm_run.networks.linear import linear
from dgm_run.posteriors.base import ExplicitPosterior

INIT_FACTOR = 0.1
"""Initial scale of the steps' parameters relative to those of mean and variance: flows start near the identity."""


class FlowPosterior(ExplicitPosterior):
    """q(z | x): a diagonal Gaussian from the encoder's features, followed by `num_steps` invertible steps.

    Args:
        encoder: computes the features.
        latent_dim: L.
        log_var_range: interval to which log-variances of the Gaussian are clamped; no gradient outside.
        num_steps: T.
        num_params: number of parameters of all steps together, for each example.

    Raises:
        ValueError: there is no step.
    """

    def __init__(
        self, encoder: Encoder, latent_dim: int, log_var_range: Sequence[float], num_steps: int, num_params: int
    ):
        super().__init__()
        if num_steps < 1:
            raise ValueError(f"num_steps = {num_steps} must be positive; for no step choose posterior=gaussian")
        self.encoder = encoder
        self.latent_dim = latent_dim
        self.num_steps = num_steps
        self.log_var_range = check_interval(log_var_range)
        self.head = linear(encoder.feature_dim, 2 * latent_dim + num_params)
        with torch.no_grad():
            self.head.weight[2 * latent_dim :] *= INIT_FACTOR

    def forward(self, x: Tensor) -> Flow:
        output = self.head(self.encoder(x)).to(x.dtype)
        num_params = output.shape[-1] - 2 * self.latent_dim
        mean, log_var, params = output.split([self.latent_dim, self.latent_dim, num_params], -1)
        base = bounded_gaussian(mean, log_var, self.log_var_range)
        with full_precision(params):
            return Flow(base, self.build_steps(params))

    @abstractmethod
    def build_steps(self, params: Tensor) -> list[Step]:
        """Builds f_1, ..., f_T from their parameters, (B, num_params)."""
