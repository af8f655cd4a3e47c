"""Factor analysis, by gradients or by expectation maximisation.

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
from dgm_run.data.dataset import DataSplit
from dgm_run.distributions.base import Distribution
from dgm_run.distributions.diagonal_gaussian import LOG_2PI
from dgm_run.distributions.full_gaussian import FullGaussian
from dgm_run.distributions.independent_gaussian import IndependentGaussian
from dgm_run.distributions.linear_gaussian import LinearGaussian, cholesky
from dgm_run.distributions.standard_gaussian import StandardGaussian
from dgm_run.models.base import ContinuousLatentModel, ExactModel
from dgm_run.networks.bounded import check_floor, column_variance, describe_floor, noise_floor, with_floor

ROWS = 10_000
"""Examples at a time whose moments are summed."""
LEAST_RELATIVE = 1e-6
"""Standard deviation of the noise over that of its column, below which its square is lost in double precision."""
JUST_ABOVE = 1e-6
"""What a step leaves of a variance above that of its floor, as a part of it: its logarithm is a parameter."""
AT_FLOOR = 0.01
"""Noise is at its floor where its variance exceeds that of the floor by less than this part."""


class FittedByEM(nn.Module, ABC):
    """A model that expectation maximisation fits, a step at a time."""

    @abstractmethod
    def statistics(self, train: DataSplit) -> Any:
        """All that a step needs to know of the training examples."""

    @abstractmethod
    def em_step(self, statistics: Any) -> Tensor:
        """One step, which never lowers the likelihood of these examples; its mean before the step, nats."""


class FactorAnalysis(ContinuousLatentModel, ExactModel, FittedByEM):
    """x = W z + b + noise, z ~ N(0, I), the noise Gaussian with a variance of its own in every dimension.

    Density and posterior are exact. Parameters are kept, and all is computed, in double precision, whatever the
    precision of the run: a mean far from zero, or little noise, leaves nothing of single precision.

    The standard deviation of the noise of a pixel has a floor, min_scale + relative_min_scale * the standard deviation
    of that pixel in the training data (`resolved_floor`). A pixel that never changes has no scale of its own, and takes
    that of the others: nothing but the floor holds its noise up, and the test example in which it changes costs any
    number of nats.

    Args:
        shape: of one example.
        latent_dim: k.
        min_scale: the absolute part of the floor, in the units of the data.
        relative_min_scale: the relative part.

    Attributes:
        column_variance: of the training data, (D,).
        num_examples: of the training data; zero where only a part of them has been seen.

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
                f"latent_dim = {latent_dim} must be positive and less than the {num_pixels} dimensions of x"
            )
        check_floor(min_scale, relative_min_scale)
        if min_scale == relative_min_scale == 0:
            raise ValueError("min_scale = relative_min_scale = 0: without a floor the density has no upper bound")
        self.shape, self.latent_dim = tuple(shape), latent_dim
        self.min_scale, self.relative_min_scale = min_scale, relative_min_scale
        self.weight = nn.Parameter((torch.randn(num_pixels, latent_dim) / latent_dim**0.5).double())
        self.bias = nn.Parameter(torch.zeros(num_pixels, dtype=torch.float64))
        self.raw_log_var = nn.Parameter(torch.zeros(self.num_variances(num_pixels), dtype=torch.float64))
        self.register_buffer("column_variance", torch.ones(num_pixels, dtype=torch.float64))
        self.register_buffer("log_min_var", 2 * self.noise_floor(self.column_variance).log())
        self.register_buffer("num_examples", torch.zeros((), dtype=torch.int64))
        self.register_buffer("like", torch.zeros(()), persistent=False)

    def _apply(self, function: Callable[[Tensor], Tensor], recurse: bool = True) -> "FactorAnalysis":
        """Moves the model; of its type only `like`, the type of its samples, changes."""

        def move(tensor: Tensor) -> Tensor:
            moved = function(tensor)
            return moved if tensor is self.like or moved.dtype == tensor.dtype else tensor.to(moved.device)

        return super()._apply(move, recurse)

    @staticmethod
    def num_variances(num_pixels: int) -> int:
        return num_pixels

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Starts at the means of the pixels, half of their variance noise and half of it explained."""
        self.take_scale(column_variance(x))
        variance = torch.maximum(self._shared(self.column_variance), 2 * self.log_min_var.exp())
        self.bias.copy_(x.double().flatten(1).mean(0))
        self.raw_log_var.copy_(torch.log(variance / 2))
        self.weight.mul_(torch.sqrt(variance / 2).unsqueeze(-1))

    def noise_floor(self, variance: Tensor) -> Tensor:
        """Returns the least standard deviations of the noise, for columns of this variance, (D,)."""
        return resolved_floor(variance, self.min_scale, self.relative_min_scale)

    def describe_floor(self, num_at_floor: int) -> str | None:
        """Says of how many columns the noise is at its floor; None for none of them."""
        return describe_floor(num_at_floor, len(self.bias), self.min_scale, self.relative_min_scale)

    def take_scale(self, variance: Tensor, num_examples: int = 0) -> None:
        """Sets the floor by the variance of the columns of training data, (D,)."""
        self.column_variance.copy_(variance)
        self.log_min_var.copy_(2 * self.noise_floor(self.column_variance).log())
        self.num_examples.fill_(num_examples)

    @property
    def likelihood_warning(self) -> str | None:
        """What of the training data, or of the floor, the likelihood depends on; None for nothing."""
        excess = self.raw_log_var.detach() - self.log_min_var
        num_at_floor = int((excess < math.log(AT_FLOOR)).sum())
        return (
            "; ".join(
                filter(
                    None,
                    (self.describe_floor(num_at_floor), describe_data(self.column_variance, int(self.num_examples))),
                )
            )
            or None
        )

    def _shared(self, variances: Tensor) -> Tensor:
        """Variances of the pixels, (D,), as this model may tell them apart."""
        return variances

    @property
    def density(self) -> LinearGaussian:
        """p(x) over flat examples, in double precision."""
        log_var = with_floor(self.raw_log_var, self.log_min_var)
        return LinearGaussian(self.weight, self.bias, log_var.expand_as(self.bias))

    def log_prob(self, x: Tensor) -> Tensor:
        return self.density.log_prob(x.double().flatten(1)).to(x.dtype)

    def log_prob_seen(self, seen: Tensor, corrupt: Corruption) -> Tensor:
        """log p(x~) of what is seen of each example, (B, *shape) -> (B,), nats."""
        known = corrupt.observed(seen).double().flatten(1)
        return corrupt.observation_density_linear(self.density).log_prob(known).to(seen.dtype)

    def infer(self, x: Tensor) -> FullGaussian:
        """The exact posterior."""
        return self.density.posterior(x.double().flatten(1)).map(lambda parameter: parameter.to(x.dtype))

    def infer_seen(self, seen: Tensor, corrupt: Corruption) -> FullGaussian:
        """Exact as well, where the corruption leaves p(x~) a Gaussian."""
        p = corrupt.observation_density_linear(self.density)
        found = p.posterior(corrupt.observed(seen).double().flatten(1))
        return found.map(lambda parameter: parameter.to(seen.dtype))

    def latent_prior(self) -> StandardGaussian:
        return StandardGaussian(self.latent_dim, self.like)

    def decode(self, z: Tensor) -> Distribution:
        p = self.density.map(lambda parameter: parameter.to(z.dtype))
        mean = (z @ p.weight.T + p.bias).unflatten(-1, self.shape)
        return IndependentGaussian(mean, 0.5 * p.log_var.view(self.shape), len(self.shape))

    def statistics(self, train: DataSplit) -> "Moments":
        return Moments.of(train.batches(ROWS))

    @torch.no_grad()
    def em_step(self, statistics: "Moments") -> Tensor:
        self.take_scale(statistics.variance, statistics.count)
        before = self.density
        after = self.improve(before, statistics)
        log_p = mean_log_prob(before, statistics)
        self.weight.copy_(after.weight)
        self.bias.copy_(after.bias)
        least = self.log_min_var.exp()
        excess = self._shared(after.log_var.exp()) - least
        self.raw_log_var.copy_(torch.maximum(excess, JUST_ABOVE * least).log())
        return log_p

    def improve(self, p: LinearGaussian, data: "Moments") -> LinearGaussian:
        """Returns the density after a step from p, which does not lower the likelihood of the data."""
        return expectation_maximisation(p, data, self.noise_floor(data.variance).square())


@dataclass(frozen=True)
class Moments:
    """What a Gaussian model needs to know of data, in double precision.

    Attributes:
        count: of the examples.
        mean: (D,).
        covariance: (D, D), divided by the number of examples.
    """

    count: int
    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, batches: Iterable[Tensor]) -> "Moments":
        """The moments of all examples in batches, (B, *shape) each.

        Each batch is centred before it is squared, and batches are merged by their differences (T. Chan, G. Golub,
        R. LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979): nothing cancels,
        however far from zero the mean is. All is relative to the first example, so that the variance of a constant
        column is exactly zero.
        """
        count, origin = 0, None
        mean = scatter = torch.zeros((), dtype=torch.float64)
        for batch in batches:
            x = batch.double().flatten(1)
            origin = x[0].clone() if origin is None else origin
            x = x - origin
            of_batch = x.mean(0)
            centred = x - of_batch
            away = of_batch - mean
            total = count + len(x)
            scatter = scatter + centred.T @ centred + torch.outer(away, away) * (count * len(x) / total)
            mean = mean + away * (len(x) / total)
            count = total
        assert origin is not None
        return cls(count, origin + mean, scatter / count)

    @property
    def variance(self) -> Tensor:
        """Of each column, (D,)."""
        return self.covariance.diagonal()

    @cached_property
    def eigen(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues of the covariance, ascending, and its eigenvectors."""
        return torch.linalg.eigh(self.covariance)

    def scaled(self, factor: Tensor) -> "Moments":
        """Those of the examples with each column multiplied by its factor, (D,)."""
        return Moments(self.count, self.mean * factor, self.covariance * torch.outer(factor, factor))


def resolved_floor(variance: Tensor, min_scale: float, relative_min_scale: float) -> Tensor:
    """Returns `noise_floor`, or `LEAST_RELATIVE` of the standard deviation of each column where that is more."""
    return torch.maximum(noise_floor(variance, min_scale, relative_min_scale), LEAST_RELATIVE * variance.sqrt())


def describe_data(variance: Tensor, num_examples: int) -> str | None:
    """Says what training data leave open: constant columns, and fewer examples than dimensions; None for nothing.

    Args:
        variance: of the columns, (D,).
        num_examples: of the training data; zero if that is not known.
    """
    constant, total = int((variance == 0).sum()), len(variance)
    told = []
    if constant:
        told.append(f"{constant} of {total} columns are constant over the training examples")
    if 0 < num_examples < total:
        told.append(
            f"fewer training examples ({num_examples}) than dimensions ({total}): in some directions nothing but the "
            "model says how far the data reach"
        )
    return "; ".join(told) or None


def expectation_maximisation(p: LinearGaussian, data: Moments, min_variance: Tensor) -> LinearGaussian:
    """The factor analysis after one step; the bias goes to the mean first, where it is best whatever the rest is.

    Args:
        p: before the step.
        data: of the examples.
        min_variance: floor of the variances of the noise, (D,).
    """
    scaled, precision = p.latent_precision()
    covariance = torch.cholesky_inverse(cholesky(precision))  # of z given x
    project = covariance @ scaled.T  # E[z | x] = project (x - mean)
    cross = data.covariance @ project.T  # E[(x - mean) z']
    second = covariance + project @ cross  # E[z z']
    weight = torch.cholesky_solve(cross.T, cholesky(second)).T
    variance = torch.maximum(data.variance - (weight * cross).sum(-1), min_variance)
    return LinearGaussian(weight, data.mean, variance.log())


def mean_log_prob(p: LinearGaussian, data: Moments) -> Tensor:
    """log p(x) in the mean over data of these moments, a scalar, nats.

    As in `LinearGaussian.log_prob` squares are those of what z leaves of x, and of z: they do not cancel.
    """
    scaled, precision = p.latent_precision()
    factor = cholesky(precision)
    centre = data.mean - p.bias
    scatter = data.covariance + torch.outer(centre, centre)
    project = torch.cholesky_solve(scaled.T, factor)  # E[z | x] = project (x - bias), (k, D)
    explained = p.weight @ project
    of_z = project @ scatter
    residual = scatter - p.weight @ of_z  # E[(x - bias - W z) (x - bias)'], (D, D)
    residual_variance = residual.diagonal() - (residual * explained).sum(-1)
    squares = (residual_variance * torch.exp(-p.log_var)).sum() + (of_z * project).sum()
    log_det = p.log_var.sum() + 2 * factor.diagonal().log().sum()
    return -0.5 * (squares + log_det + len(p.bias) * LOG_2PI)
