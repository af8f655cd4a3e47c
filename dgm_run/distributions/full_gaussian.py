"""Gaussian N(mean, L L^T) with a full covariance, given by its Cholesky factor."""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape, full_precision
from dgm_run.distributions.diagonal_gaussian import LOG_2PI


class FullGaussian(Distribution):
    """Gaussian with covariance `scale_tril @ scale_tril.T`.

    Args:
        mean: (*batch, L).
        scale_tril: (*batch, L, L), lower triangular with a positive diagonal.
    """

    has_rsample = True

    def __init__(self, mean: Tensor, scale_tril: Tensor):
        super().__init__(mean.shape[:-1], mean.shape[-1:])
        self.loc = mean
        self.scale_tril = scale_tril

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale_tril.square().sum(-1)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self.rsample_and_log_prob(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: SampleShape = ()) -> tuple[Tensor, Tensor]:
        noise = torch.randn(self.noise_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        with full_precision(noise):
            z = self.loc + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
        return z, self._log_prob_of_noise(noise)

    def log_prob(self, value: Tensor) -> Tensor:
        centred = (value - self.loc).unsqueeze(-1)
        tril = self.scale_tril.expand(centred.shape[:-2] + self.scale_tril.shape[-2:])
        return self._log_prob_of_noise(torch.linalg.solve_triangular(tril, centred, upper=False).squeeze(-1))

    def pairwise_log_prob(self, z: Tensor) -> Tensor:
        """Computes (..., L) -> (..., K) for a batch of K Gaussians, with factors inverted once for all z."""
        if len(self.batch_shape) != 1:
            return super().pairwise_log_prob(z)
        with full_precision(z):
            identity = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device).expand_as(self.scale_tril)
            inverse = torch.linalg.solve_triangular(self.scale_tril, identity, upper=False)  # (K, L, L)
            mean_noise = (inverse @ self.loc.unsqueeze(-1)).squeeze(-1)  # (K, L)
            noise = (z @ inverse.flatten(0, 1).T).unflatten(-1, mean_noise.shape) - mean_noise  # (..., K, L)
        return self._log_prob_of_noise(noise)

    def _log_prob_of_noise(self, noise: Tensor) -> Tensor:
        """Computes log N(z) at z = mean + scale_tril @ noise: (..., *batch, L) -> (..., *batch)."""
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * (noise.square().sum(-1) + self.event_shape[0] * LOG_2PI) - log_det

    def map(self, function: Callable[[Tensor], Tensor]) -> "FullGaussian":
        return FullGaussian(function(self.loc), function(self.scale_tril))
