"""Diagonal Gaussian N(mean, diag(exp(log_var))) over the last dimension."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape, full_precision
from dgm_run.networks.products import multiply

LOG_2PI = math.log(2 * math.pi)


class DiagonalGaussian(Distribution):
    """Gaussian with independent dimensions.

    Args:
        mean: (*batch, L).
        log_var: (*batch, L), log of the variances.
    """

    has_rsample = True

    def __init__(self, mean: Tensor, log_var: Tensor):
        super().__init__(mean.shape[:-1], mean.shape[-1:])
        self.loc = mean
        self.log_var = log_var

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.log_var.exp()

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        noise = torch.randn(self.noise_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return torch.addcmul(self.loc, torch.exp(0.5 * self.log_var), noise)

    def rsample_and_log_prob(self, sample_shape: SampleShape = ()) -> tuple[Tensor, Tensor]:
        # at its own sample (z - mean)^2 / var is the squared noise, which carries no gradient
        noise = torch.randn(self.noise_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        z = torch.addcmul(self.loc, torch.exp(0.5 * self.log_var), noise)
        dim = self.event_shape[0]
        return z, -0.5 * (noise.square().sum(-1) + self.log_var.sum(-1) + dim * LOG_2PI)

    def log_prob(self, value: Tensor) -> Tensor:
        squares = (value - self.loc).square() * torch.exp(-self.log_var)
        return -0.5 * (squares + self.log_var + LOG_2PI).sum(-1)

    def pairwise_log_prob(self, z: Tensor) -> Tensor:
        """Computes (..., L) -> (..., K) for a batch of K Gaussians, as one GEMM instead of a (..., K, L) tensor.

        It expands the square around the centre of the means, which keeps |m| / s, and so the cancellation, small.
        The largest error of a mixture's log density over 40 dimensions in float32 grows with |m| / s. It is 2e-5 nats
        at |m| / s = 1 in every dimension, 1e-3 at 10 and 0.1 at 100.
        """
        if len(self.batch_shape) != 1:
            return super().pairwise_log_prob(z)
        centre = self.loc.mean(0).detach()  # (L,)
        mean = self.loc - centre
        z = z - centre
        precision = torch.exp(-self.log_var)  # (K, L)
        scaled = mean * precision  # (K, L)
        constant = -0.5 * (mean * scaled + self.log_var + LOG_2PI).sum(-1)  # (K,)
        left = torch.cat([z.square(), z], -1).view(-1, 2 * z.shape[-1])  # (N, 2L)
        right = torch.cat([-0.5 * precision, scaled], -1)  # (K, 2L)
        with full_precision(z):
            return multiply(left, right.T, constant).view(*z.shape[:-1], -1)

    def map(self, function: Callable[[Tensor], Tensor]) -> "DiagonalGaussian":
        return DiagonalGaussian(function(self.loc), function(self.log_var))


def bounded_gaussian(mean: Tensor, log_var: Tensor, log_var_range: tuple[float, float]) -> DiagonalGaussian:
    """Builds a Gaussian, (*batch, L), with log-variances clamped to a range so that exp(-log_var) stays finite.

    The log-variances receive no gradient outside the range.
    """
    # equals clamp in a sixth of its time: its gradient is one kernel instead of five
    return DiagonalGaussian(mean, F.hardtanh(log_var, *log_var_range))


def kl_to_standard(q: DiagonalGaussian) -> Tensor:
    """Computes KL(q || N(0, I)) of each dimension, (*batch, L), in nats."""
    return 0.5 * (q.loc.square() + q.log_var.exp() - 1 - q.log_var)
