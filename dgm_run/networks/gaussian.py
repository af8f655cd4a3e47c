"""Layer from features to a Gaussian."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian, bounded_gaussian
from dgm_run.networks.bounded import check_interval
from dgm_run.networks.linear import linear

INIT_FACTOR = 0.1
"""Initial scale of the weights, so that the Gaussian starts near N(0, I) for every h, and latent levels match."""


class GaussianLayer(nn.Module):
    """N(mean(h), diag(exp(log_var(h)))), both linear in h: (..., in_dim) -> batch shape (...,).

    Args:
        in_dim: dimensions of the features h.
        out_dim: dimensions of the event.
        log_var_range: interval to which log-variances are clamped; no gradient outside.
    """

    def __init__(self, in_dim: int, out_dim: int, log_var_range: Sequence[float]):
        super().__init__()
        self.linear = linear(in_dim, 2 * out_dim)
        self.log_var_range = check_interval(log_var_range)
        with torch.no_grad():
            self.linear.weight.mul_(INIT_FACTOR)

    def forward(self, h: Tensor, like: Tensor) -> DiagonalGaussian:
        """Returns the Gaussian, batch shape (...,), in the precision of `like`, whatever the precision of h."""
        mean, log_var = self.linear(h).to(like.dtype).chunk(2, -1)
        return bounded_gaussian(mean, log_var, self.log_var_range)
