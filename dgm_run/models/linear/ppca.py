"""Probabilistic principal component analysis.

Source: M. Tipping, C. Bishop, Probabilistic principal component analysis, 1999.
"""

import torch
from torch import Tensor

from dgm_run.distributions.linear_gaussian import LinearGaussian
from dgm_run.models.linear.factor_analysis import FactorAnalysis, Moments, resolve_floor
from dgm_run.networks.bounded import describe_floor


class PPCA(FactorAnalysis):
    """Factor analysis with one noise variance for all pixels.

    Its floor is the lowest floor of the pixels. With trainer=em the first step reaches the maximum of the likelihood,
    which is in closed form.
    """

    @staticmethod
    def count_variances(num_pixels: int) -> int:
        return 1

    def noise_floor(self, variance: Tensor) -> Tensor:
        return shared_floor(variance, self.min_scale, self.relative_min_scale)

    def describe_floor(self, num_at_floor: int) -> str | None:
        return describe_shared_floor(num_at_floor > 0, self.column_variance, self.min_scale, self.relative_min_scale)

    def improve(self, p: LinearGaussian, data: Moments) -> LinearGaussian:
        """Returns the maximum-likelihood density, whatever p is."""
        return maximum_likelihood(data, self.latent_dim, self.noise_floor(data.variance).square())

    def _pool_variances(self, variances: Tensor) -> Tensor:
        return variances.mean(0, keepdim=True)


def shared_floor(variance: Tensor, min_scale: float, relative_min_scale: float) -> Tensor:
    """Computes the floor of a noise that all pixels share, a standard deviation, (1,).

    It is the lowest floor of the pixels, but at least the rounding error of the largest pixel variance.

    Raises:
        ValueError: see `resolve_floor`.
    """
    lowest = resolve_floor(variance, min_scale, relative_min_scale).min()
    return torch.maximum(lowest, _rounding_scale(variance)).unsqueeze(0)


def describe_shared_floor(
    is_at_floor: bool, variance: Tensor, min_scale: float, relative_min_scale: float
) -> str | None:
    """Describes noise at its `shared_floor` and the reason of the floor; returns None for noise above it."""
    if not is_at_floor:
        return None
    if resolve_floor(variance, min_scale, relative_min_scale).min() >= _rounding_scale(variance):
        return describe_floor(1, 1, min_scale, relative_min_scale)
    scale_ratio = (variance.max() / variance[variance > 0].min()).sqrt().item()
    return (
        "the noise of all columns is at its floor, on which the likelihood depends: double precision sets the floor, "
        f"because the scales of the columns differ by a factor of {scale_ratio:.1g}: standardise the data"
    )


def _rounding_scale(variance: Tensor) -> Tensor:
    """Computes the standard deviation of noise that rounding hides beside the largest pixel variance, a scalar."""
    return (len(variance) * torch.finfo(variance.dtype).eps * variance.max()).sqrt()


def maximum_likelihood(data: Moments, latent_dim: int, min_variance: Tensor) -> LinearGaussian:
    """Returns the maximum-likelihood PPCA: leading eigenvectors, with the mean of the other eigenvalues as noise.

    Args:
        data: moments of the examples.
        latent_dim: L, number of leading eigenvectors.
        min_variance: floor of the noise variance, (1,).
    """
    values, vectors = data.eigen
    noise = torch.maximum(values[:-latent_dim].mean(), min_variance)  # (1,)
    leading = (values[-latent_dim:] - noise).clamp(min=0).sqrt()
    return LinearGaussian(vectors[:, -latent_dim:] * leading, data.mean, noise.log().expand_as(data.mean))
