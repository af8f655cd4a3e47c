"""Factor analysis, trained by gradients or by expectation maximisation.

Sources: D. Rubin, D. Thayer, EM algorithms for ML factor analysis, 1982; Z. Ghahramani, G. Hinton, The EM algorithm for
mixtures of factor analyzers, 1996.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from dgm_run.data.corruptions import Corruption
from dgm_run.data.data_split import DataSplit
from dgm_run.distributions.base import Distribution
from dgm_run.distributions.diagonal_gaussian import LOG_2PI
from dgm_run.distributions.full_gaussian import FullGaussian
from dgm_run.distributions.independent_gaussian import IndependentGaussian
from dgm_run.distributions.linear_gaussian import LinearGaussian, cholesky
from dgm_run.distributions.standard_gaussian import StandardGaussian
from dgm_run.errors import join_warnings
from dgm_run.models.base import ContinuousLatentModel, ExactModel
from dgm_run.networks.bounded import add_floor, check_floor, column_variance, describe_floor, noise_floor

MOMENT_BATCH_SIZE = 10_000
"""Number of examples whose moments are summed at a time."""
MIN_RELATIVE_SCALE = 1e-6
"""Least ratio of a noise scale to its column's standard deviation: a smaller square is lost in double precision."""
MIN_RELATIVE_EXCESS = 1e-6
"""Least excess of a variance over its floor after an EM step, relative to the floor: its logarithm is a parameter."""
AT_FLOOR = 0.01
"""Excess of the variance over its floor, relative to the floor, below which noise counts as at its floor."""


class EMModel(nn.Module, ABC):
    """Model that expectation maximisation fits, step by step."""

    @abstractmethod
    def compute_statistics(self, train: DataSplit) -> Any:
        """Computes the sufficient statistics of the training examples, the argument of `em_step`."""

    @abstractmethod
    def em_step(self, statistics: Any) -> Tensor:
        """Makes one EM step, which never lowers the likelihood; returns the mean log p(x) before it, a scalar, nats."""


class FactorAnalysis(ContinuousLatentModel, ExactModel, EMModel):
    """x = W z + b + noise, z ~ N(0, I), with Gaussian noise of one variance for each dimension.

    Density and posterior are exact. Parameters and computation are in double precision, whatever the precision of the
    run. Single precision fails for a mean far from zero, or for little noise.

    The noise scale of a pixel has a floor: min_scale + relative_min_scale * the pixel's standard deviation in the
    training data (`resolve_floor`). A constant pixel takes the scale of the others. Only the floor keeps the noise of a
    constant pixel above zero. A test example in which that pixel changes may cost any number of nats.

    Args:
        shape: shape of one example.
        latent_dim: L.
        min_scale: absolute part of the floor, in the units of the data.
        relative_min_scale: relative part of the floor.

    Attributes:
        column_variance: variance of each column of the training data, (D,).
        num_examples: number of training examples behind `column_variance`; zero if it is only a part of them.

    Raises:
        ValueError: there is no latent dimension, or as many as pixels, or no floor.
    """

    column_variance: Tensor
    log_min_var: Tensor
    num_examples: Tensor
    like: Tensor
    takes = ("continuous",)

    def __init__(self, shape: Sequence[int], latent_dim: int, min_scale: float, relative_min_scale: float):
        super().__init__()
        num_pixels = math.prod(shape)
        if not 0 < latent_dim < num_pixels:
            raise ValueError(
                f"latent_dim = {latent_dim} must be positive and less than {num_pixels}, the dimensions of x"
            )
        check_floor(min_scale, relative_min_scale)
        if min_scale == relative_min_scale == 0:
            raise ValueError(
                "min_scale = relative_min_scale = 0: the density has no upper bound; set one of them above zero"
            )
        self.shape = tuple(shape)
        self.latent_dim = latent_dim
        self.min_scale = min_scale
        self.relative_min_scale = relative_min_scale
        self.weight = nn.Parameter((torch.randn(num_pixels, latent_dim) / latent_dim**0.5).double())
        self.bias = nn.Parameter(torch.zeros(num_pixels, dtype=torch.float64))
        self.raw_log_var = nn.Parameter(torch.zeros(self.count_variances(num_pixels), dtype=torch.float64))
        self.register_buffer("column_variance", torch.ones(num_pixels, dtype=torch.float64))
        self.register_buffer("log_min_var", 2 * self.noise_floor(self.column_variance).log())
        self.register_buffer("num_examples", torch.zeros((), dtype=torch.int64))
        self.register_buffer("like", torch.zeros(()), persistent=False)

    def _apply(self, function: Callable[[Tensor], Tensor], recurse: bool = True) -> "FactorAnalysis":
        """Moves the model to a device; only `like`, the type of its samples, changes its precision."""

        def move(tensor: Tensor) -> Tensor:
            moved = function(tensor)
            return moved if tensor is self.like or moved.dtype == tensor.dtype else tensor.to(moved.device)

        return super()._apply(move, recurse)

    @staticmethod
    def count_variances(num_pixels: int) -> int:
        return num_pixels

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Sets the bias to the pixel means; half of each pixel's variance becomes noise, half comes from z.

        Args:
            x: training examples, (N, *shape).
        """
        self.set_column_variance(column_variance(x))
        variance = torch.maximum(self._pool_variances(self.column_variance), 2 * self.log_min_var.exp())
        self.bias.copy_(x.double().flatten(1).mean(0))
        self.raw_log_var.copy_(torch.log(variance / 2))
        self.weight.mul_(torch.sqrt(variance / 2).unsqueeze(-1))

    def noise_floor(self, variance: Tensor) -> Tensor:
        """Returns the least standard deviations of the noise for columns of this variance, (D,)."""
        return resolve_floor(variance, self.min_scale, self.relative_min_scale)

    def describe_floor(self, num_at_floor: int) -> str | None:
        """Describes how many columns have noise at the floor; returns None for zero columns."""
        return describe_floor(num_at_floor, len(self.bias), self.min_scale, self.relative_min_scale)

    def set_column_variance(self, variance: Tensor, num_examples: int = 0) -> None:
        """Sets the floor from the column variances of the training data, (D,)."""
        self.column_variance.copy_(variance)
        self.log_min_var.copy_(2 * self.noise_floor(self.column_variance).log())
        self.num_examples.fill_(num_examples)

    @property
    def likelihood_warning(self) -> str | None:
        """Warning about noise at its floor, constant columns, or too few training examples; None without any."""
        log_relative_excess = self.raw_log_var.detach() - self.log_min_var
        num_at_floor = int((log_relative_excess < math.log(AT_FLOOR)).sum())
        data_warning = describe_data(self.column_variance, int(self.num_examples))
        return join_warnings(self.describe_floor(num_at_floor), data_warning)

    def _pool_variances(self, variances: Tensor) -> Tensor:
        """Pools pixel variances, (D,), into the noise variances of the model, here one for each pixel."""
        return variances

    @property
    def density(self) -> LinearGaussian:
        """Density p(x) of flat examples, in double precision."""
        log_var = add_floor(self.raw_log_var, self.log_min_var)
        return LinearGaussian(self.weight, self.bias, log_var.expand_as(self.bias))

    def log_prob(self, x: Tensor) -> Tensor:
        return self.density.log_prob(x.double().flatten(1)).to(x.dtype)

    def log_prob_of_corrupted(self, x: Tensor, corrupt: Corruption) -> Tensor:
        """Computes log p(x~) of corrupted examples, (B, *shape) -> (B,), nats."""
        observed = corrupt.observed(x).double().flatten(1)
        return corrupt.observation_density_linear(self.density).log_prob(observed).to(x.dtype)

    def infer(self, x: Tensor) -> FullGaussian:
        """Returns the exact posterior."""
        return self.density.posterior(x.double().flatten(1)).map(lambda parameter: parameter.to(x.dtype))

    def infer_from_corrupted(self, x: Tensor, corrupt: Corruption) -> FullGaussian:
        """Returns the posterior given x~, exact where p(x~) is Gaussian."""
        p = corrupt.observation_density_linear(self.density)
        q = p.posterior(corrupt.observed(x).double().flatten(1))
        return q.map(lambda parameter: parameter.to(x.dtype))

    def latent_prior(self) -> StandardGaussian:
        return StandardGaussian(self.latent_dim, self.like)

    def decode(self, z: Tensor) -> Distribution:
        p = self.density.map(lambda parameter: parameter.to(z.dtype))
        mean = (z @ p.weight.T + p.bias).unflatten(-1, self.shape)
        return IndependentGaussian(mean, 0.5 * p.log_var.view(self.shape), len(self.shape))

    def compute_statistics(self, train: DataSplit) -> "Moments":
        return Moments.from_batches(train.batches(MOMENT_BATCH_SIZE))

    @torch.no_grad()
    def em_step(self, statistics: "Moments") -> Tensor:
        self.set_column_variance(statistics.variance, statistics.count)
        before = self.density
        after = self.improve(before, statistics)
        log_p = mean_log_prob(before, statistics)
        self.weight.copy_(after.weight)
        self.bias.copy_(after.bias)
        min_variance = self.log_min_var.exp()
        excess = self._pool_variances(after.log_var.exp()) - min_variance
        self.raw_log_var.copy_(torch.maximum(excess, MIN_RELATIVE_EXCESS * min_variance).log())
        return log_p

    def improve(self, p: LinearGaussian, data: "Moments") -> LinearGaussian:
        """Returns the density after one step from p, which does not lower the likelihood of the data."""
        return expectation_maximisation(p, data, self.noise_floor(data.variance).square())


@dataclass(frozen=True)
class Moments:
    """Sufficient statistics of a Gaussian model, in double precision.

    Attributes:
        count: number of examples.
        mean: (D,).
        covariance: (D, D), normalised by the number of examples.
    """

    count: int
    mean: Tensor
    covariance: Tensor

    @classmethod
    def from_batches(cls, batches: Iterable[Tensor]) -> "Moments":
        """Computes the moments of all examples in batches, (B, *shape) each.

        It centres each batch before squaring, and merges batches by the differences of their means. So nothing
        cancels, however far from zero the mean is. Values are relative to the first example, which makes the variance
        of a constant column exactly zero.

        Source: T. Chan, G. Golub, R. LeVeque, Updating formulae and a pairwise algorithm for computing sample
        variances, 1979.
        """
        count = 0
        origin = None
        mean = scatter = torch.zeros((), dtype=torch.float64)
        for batch in batches:
            x = batch.double().flatten(1)
            origin = x[0].clone() if origin is None else origin
            x = x - origin
            batch_mean = x.mean(0)
            centred = x - batch_mean
            difference = batch_mean - mean
            total = count + len(x)
            between = torch.outer(difference, difference) * (count * len(x) / total)
            scatter = scatter + centred.T @ centred + between
            mean = mean + difference * (len(x) / total)
            count = total
        assert origin is not None
        return cls(count, origin + mean, scatter / count)

    @property
    def variance(self) -> Tensor:
        """Variance of each column, (D,)."""
        return self.covariance.diagonal()

    @cached_property
    def eigen(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues of the covariance, (D,), ascending, and its eigenvectors in columns, (D, D)."""
        return torch.linalg.eigh(self.covariance)

    def scale_columns(self, factor: Tensor) -> "Moments":
        """Multiplies each column by its factor, (D,)."""
        return Moments(self.count, self.mean * factor, self.covariance * torch.outer(factor, factor))


def resolve_floor(variance: Tensor, min_scale: float, relative_min_scale: float) -> Tensor:
    """Computes `noise_floor`, or `MIN_RELATIVE_SCALE` of a column's standard deviation where that is larger, (D,)."""
    return torch.maximum(noise_floor(variance, min_scale, relative_min_scale), MIN_RELATIVE_SCALE * variance.sqrt())


def describe_data(variance: Tensor, num_examples: int) -> str | None:
    """Describes constant columns, and fewer examples than dimensions; returns None without either.

    Args:
        variance: variance of each column, (D,).
        num_examples: number of training examples; zero if unknown.
    """
    constant = int((variance == 0).sum())
    total = len(variance)
    warnings = []
    if constant:
        warnings.append(f"{constant} of {total} columns are constant over the training examples")
    if 0 < num_examples < total:
        warnings.append(
            f"fewer training examples ({num_examples}) than dimensions ({total}): only the noise of the model "
            "determines the variance in some directions"
        )
    return join_warnings(*warnings)


def expectation_maximisation(p: LinearGaussian, data: Moments, min_variance: Tensor) -> LinearGaussian:
    """Returns the factor analysis after one EM step; the bias becomes the mean of the data, its optimum.

    Args:
        p: density before the step.
        data: moments of the examples.
        min_variance: floor of the noise variances, (D,).
    """
    scaled, precision = p.latent_precision()
    covariance = torch.cholesky_inverse(cholesky(precision))  # (L, L), covariance of z given x
    project = covariance @ scaled.T  # (L, D), E[z | x] = project (x - mean)
    cross = data.covariance @ project.T  # (D, L), E[(x - mean) z']
    second_moment = covariance + project @ cross  # (L, L), E[z z']
    weight = torch.cholesky_solve(cross.T, cholesky(second_moment)).T
    variance = torch.maximum(data.variance - (weight * cross).sum(-1), min_variance)
    return LinearGaussian(weight, data.mean, variance.log())


def mean_log_prob(p: LinearGaussian, data: Moments) -> Tensor:
    """Computes the mean of log p(x) over data with these moments, a scalar, nats.

    As in `LinearGaussian.log_prob`, it sums squares of the residual and of z, which do not cancel.
    """
    scaled, precision = p.latent_precision()
    factor = cholesky(precision)
    centre = data.mean - p.bias
    scatter = data.covariance + torch.outer(centre, centre)
    project = torch.cholesky_solve(scaled.T, factor)  # (L, D), E[z | x] = project (x - bias)
    explained = p.weight @ project
    z_scatter = project @ scatter
    residual = scatter - p.weight @ z_scatter  # (D, D), E[(x - bias - W z) (x - bias)']
    residual_variance = residual.diagonal() - (residual * explained).sum(-1)
    squares = (residual_variance * torch.exp(-p.log_var)).sum() + (z_scatter * project).sum()
    log_det = p.log_var.sum() + 2 * factor.diagonal().log().sum()
    return -0.5 * (squares + log_det + len(p.bias) * LOG_2PI)
