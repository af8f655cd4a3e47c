"""Probabilistic principal component analysis.

Source: M. Tipping, C. Bishop, Probabilistic principal component analysis, 1999.
"""

import torch
from torch import Tensor

from dgm_run.distributions.linear_gaussian import LinearGaussian
from dgm_run.models.factor_analysis import FactorAnalysis, Moments


class PPCA(FactorAnalysis):
    """Factor analysis with one variance of the noise for all pixels."""

    @staticmethod
    def num_variances(num_pixels: int) -> int:
        return 1

    def _shared(self, variances: Tensor) -> Tensor:
        return one_for_all(variances)


def one_for_all(variances: Tensor) -> Tensor:
    return variances.mean(0, keepdim=True)


def maximum_likelihood(data: Moments, latent_dim: int, min_variance: float) -> LinearGaussian:
    """The best PPCA of data, in closed form: the leading eigenvectors, the noise the mean of the other eigenvalues."""
    values, vectors = torch.linalg.eigh(data.covariance)  # ascending
    noise = values[:-latent_dim].mean().clamp(min=min_variance)
    leading = (values[-latent_dim:] - noise).clamp(min=0).sqrt()
    return LinearGaussian(vectors[:, -latent_dim:] * leading, data.mean, noise.log().expand_as(data.mean))
