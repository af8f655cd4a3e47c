"""Factor analysis, by gradients or by expectation maximisation.

Sources: D. Rubin, D. Thayer, EM algorithms for ML factor analysis, 1982; Z. Ghahramani, G. Hinton, The EM algorithm for
mixtures of factor analyzers, 1996.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dgm_run.data.corrupt import Corruption
from dgm_run.data.dataset import Examples
from dgm_run.distributions.base import Distribution
from dgm_run.distributions.diagonal_gaussian import LOG_2PI
from dgm_run.distributions.full_gaussian import FullGaussian
from dgm_run.distributions.independent_gaussian import IndependentGaussian
from dgm_run.distributions.linear_gaussian import LinearGaussian
from dgm_run.distributions.standard_gaussian import StandardGaussian
from dgm_run.models.base import ContinuousLatentModel, ExactModel
from dgm_run.networks.bounded import with_floor

ROWS = 10_000
"""Examples at a time whose moments are summed."""


class FittedByEM(ABC):
    """A model that expectation maximisation fits, a step at a time."""

    @abstractmethod
    def statistics(self, train: Examples) -> Any:
        """All that a step needs to know of the training examples."""

    @abstractmethod
    def em_step(self, statistics: Any) -> Tensor:
        """One step, which never lowers the likelihood of these examples; its mean before the step, nats."""


class FactorAnalysis(ContinuousLatentModel, ExactModel, FittedByEM):
    """x = W z + b + noise, z ~ N(0, I), the noise Gaussian with a variance of its own in every dimension.

    Density and posterior are exact. All that is computed of them is in double precision: the squares of a model with
    little noise are differences of large numbers.

    Args:
        shape: of one example.
        latent_dim: k.
        min_scale: floor of the standard deviation of the noise; where a pixel never changes nothing else holds it up,
            and the test example in which it does costs any number of nats.

    Raises:
        ValueError: there is no latent dimension, or as many as pixels, or no floor.
    """

    takes = ("continuous",)

    def __init__(self, shape: Sequence[int], latent_dim: int, min_scale: float):
        super().__init__()
        num_pixels = math.prod(shape)
        if not 0 < latent_dim < num_pixels:
            raise ValueError(
                f"latent_dim = {latent_dim} must be positive and less than the {num_pixels} dimensions of x"
            )
        if not min_scale > 0:
            raise ValueError(f"min_scale = {min_scale} must be positive")
        self.shape, self.latent_dim, self.min_scale = tuple(shape), latent_dim, min_scale
        self.weight = nn.Parameter(torch.randn(num_pixels, latent_dim) / latent_dim**0.5)
        self.bias = nn.Parameter(torch.zeros(num_pixels))
        self.raw_log_var = nn.Parameter(torch.zeros(self.num_variances(num_pixels)))
        self.register_buffer("like", torch.zeros(()), persistent=False)

    @staticmethod
    def num_variances(num_pixels: int) -> int:
        return num_pixels

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Starts at the means of the pixels, half of their variance noise and half of it explained."""
        x = x.flatten(1)
        self.bias.copy_(x.mean(0))
        variance = self._shared(x.var(0)).clamp(min=2 * self.min_scale**2)
        self.raw_log_var.copy_(torch.log(variance / 2))
        self.weight.mul_(torch.sqrt(variance / 2).unsqueeze(-1))

    def _shared(self, variances: Tensor) -> Tensor:
        """Variances of the pixels, (D,), as this model may tell them apart."""
        return variances

    @property
    def density(self) -> LinearGaussian:
        """p(x) over flat examples, in double precision."""
        log_var = with_floor(self.raw_log_var, 2 * math.log(self.min_scale))
        return LinearGaussian(self.weight, self.bias, log_var.expand_as(self.bias)).map(Tensor.double)

    def log_prob(self, x: Tensor) -> Tensor:
        return self.density.log_prob(x.double().flatten(1)).to(x.dtype)

    def log_prob_seen(self, seen: Tensor, corrupt: Corruption) -> Tensor:
        """log p(x~) of what is seen of each example, (B, *shape) -> (B,), nats."""
        known = corrupt.known(seen).double().flatten(1)
        return corrupt.seen_linear(self.density).log_prob(known).to(seen.dtype)

    def infer(self, x: Tensor) -> FullGaussian:
        """The exact posterior."""
        return self.density.posterior(x.double().flatten(1)).map(lambda parameter: parameter.to(x.dtype))

    def infer_seen(self, seen: Tensor, corrupt: Corruption) -> FullGaussian:
        """Exact as well, where the corruption leaves p(x~) a Gaussian."""
        p = corrupt.seen_linear(self.density)
        found = p.posterior(corrupt.known(seen).double().flatten(1))
        return found.map(lambda parameter: parameter.to(seen.dtype))

    def latent_prior(self) -> StandardGaussian:
        return StandardGaussian(self.latent_dim, self.like)

    def decode(self, z: Tensor) -> Distribution:
        p = self.density.map(lambda parameter: parameter.to(z.dtype))
        mean = (z @ p.weight.T + p.bias).unflatten(-1, self.shape)
        return IndependentGaussian(mean, 0.5 * p.log_var.view(self.shape), len(self.shape))

    def statistics(self, train: Examples) -> "Moments":
        return Moments.of(train.batches(ROWS))

    @torch.no_grad()
    def em_step(self, statistics: "Moments") -> Tensor:
        p = self.density
        after = expectation_maximisation(p, statistics, self._shared, self.min_scale**2)
        self.weight.copy_(after.weight)
        self.bias.copy_(after.bias)
        excess = self._shared(after.log_var.exp()) - self.min_scale**2
        self.raw_log_var.copy_(excess.clamp(min=1e-3 * self.min_scale**2).log())
        return mean_log_prob(p, statistics)


class Moments(NamedTuple):
    """What a Gaussian model needs to know of data.

    Attributes:
        mean: (D,), in double precision.
        covariance: (D, D), divided by the number of examples.
    """

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, batches: Iterable[Tensor]) -> "Moments":
        """The moments of all examples in batches, (B, *shape) each."""
        count, total, squares = 0, 0.0, 0.0
        for batch in batches:
            x = batch.double().flatten(1)
            count, total, squares = count + len(x), total + x.sum(0), squares + x.T @ x
        mean = total / count
        return cls(mean, squares / count - torch.outer(mean, mean))


def expectation_maximisation(
    p: LinearGaussian, data: Moments, shared: Callable[[Tensor], Tensor], min_variance: float
) -> LinearGaussian:
    """The density after one step; the bias goes to the mean first, where it is best whatever the rest is.

    Args:
        p: before the step.
        data: of the examples.
        shared: variances of the pixels, (D,), to those that the model may have.
        min_variance: their floor.
    """
    scaled, precision = p.latent_precision()
    covariance = torch.linalg.inv(precision)  # of z given x
    project = covariance @ scaled.T  # E[z | x] = project (x - mean)
    cross = data.covariance @ project.T  # E[(x - mean) z']
    second = covariance + project @ cross  # E[z z']
    weight = torch.linalg.solve(second, cross.T).T
    variance = shared(data.covariance.diagonal() - (weight * cross).sum(-1)).clamp(min=min_variance)
    return LinearGaussian(weight, data.mean, variance.log().expand_as(data.mean))


def mean_log_prob(p: LinearGaussian, data: Moments) -> Tensor:
    """log p(x) in the mean over data of these moments, a scalar, nats."""
    scaled, precision = p.latent_precision()
    factor = torch.linalg.cholesky(precision)
    centre = data.mean - p.bias
    scatter = data.covariance + torch.outer(centre, centre)
    explained = torch.cholesky_solve(scaled.T @ scatter @ scaled, factor).diagonal().sum()
    squares = (scatter.diagonal() * torch.exp(-p.log_var)).sum() - explained
    log_det = p.log_var.sum() + 2 * factor.diagonal().log().sum()
    return -0.5 * (squares + log_det + len(p.bias) * LOG_2PI)
