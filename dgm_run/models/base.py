"""Kinds of models that objectives and estimators require."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import chain
from typing import Literal, NamedTuple, Protocol, overload, runtime_checkable

import torch
from torch import Tensor, nn

from dgm_run.data.corruptions import Corruption
from dgm_run.distributions.base import Distribution


def log_mean_exp(log_w: Tensor) -> Tensor:
    """Computes log 1/S sum_s w_s over the leading axis."""
    return log_w.logsumexp(0) - math.log(len(log_w))


def effective_sample_size(log_w: Tensor) -> Tensor:
    """Computes (sum_s w_s)^2 / sum_s w_s^2 over the leading axis, between 1 and S."""
    return torch.exp(2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0))


@runtime_checkable
class HasLogWeights(Protocol):
    """Model whose p(x), or p(x) Z, is the mean of importance weights; their logarithms are (S, B)."""

    def log_weights(self, x: Tensor, num_samples: int) -> Tensor: ...


class StartsFromData(Protocol):
    """Part whose parameters start from training examples."""

    def initialize(self, x: Tensor) -> None: ...


class WarnsOfLikelihood(Protocol):
    """Part that knows what its likelihood depends on; None for nothing."""

    @property
    def likelihood_warning(self) -> str | None: ...


@overload
def topmost_with_method(module: nn.Module, method: Literal["initialize"]) -> Iterator[StartsFromData]: ...
@overload
def topmost_with_method(module: nn.Module, method: Literal["likelihood_warning"]) -> Iterator[WarnsOfLikelihood]: ...
def topmost_with_method(module: nn.Module, method: str) -> Iterator[object]:
    """Yields the topmost parts of a module that have this method; parts inside them are not visited."""
    if hasattr(module, method):
        yield module
    else:
        for child in module.children():
            yield from topmost_with_method(child, method)  # type: ignore[call-overload]  # of the same method


def get_like(model: nn.Module) -> Tensor:
    """Returns a tensor with the type and the device of a model: a parameter, else a buffer."""
    return next(chain(model.parameters(), model.buffers()))


class GenerativeModel(nn.Module, ABC):
    """Model that can be sampled."""

    @abstractmethod
    def sample(self, n: int) -> Tensor:
        """Draws n examples from p(x), (n, *shape)."""


class ExactModel(GenerativeModel):
    """Model with a likelihood in closed form."""

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """Computes log p(x) of each example, (B, *shape) -> (B,), nats."""


class ImportanceTerms(NamedTuple):
    """Terms of log p(x, z) - log q(z | x) at samples z of q.

    Attributes:
        q: q(z | x), batch shape (B,).
        p: p(z), batch shape ().
        z: (S, B, L).
        log_px: log p(x | z), (S, B), nats.
        log_pz: log p(z), (S, B).
        log_qz: log q(z | x), (S, B).
    """

    q: Distribution
    p: Distribution
    z: Tensor
    log_px: Tensor
    log_pz: Tensor
    log_qz: Tensor

    @property
    def log_w(self) -> Tensor:
        """Log importance weights log p(x, z) - log q(z | x), (S, B)."""
        return self.log_px + (self.log_pz - self.log_qz)


class LatentVariableModel(nn.Module, ABC):
    """p(x) = integral of p(x | z) p(z) dz with an approximate posterior q(z | x).

    A model gives the three densities; everything else follows. The ELBO, importance-weighted and Renyi bounds and
    the likelihood estimate each need one or two lines on these terms.
    """

    @abstractmethod
    def infer(self, x: Tensor) -> Distribution:
        """Returns q(z | x): (B, *shape) -> batch shape (B,)."""

    def infer_from_corrupted(self, x: Tensor, corrupt: Corruption) -> Distribution:
        """Returns q(z | x~) for corrupted examples x~. Most encoders receive zeros where the value is unknown."""
        observed = corrupt.observed(x)
        reads_missing = any(getattr(part, "reads_missing", False) for part in self.modules())
        return self.infer(observed if reads_missing else observed.nan_to_num(0.0))

    @abstractmethod
    def latent_prior(self) -> Distribution:
        """Returns p(z), batch shape ()."""

    @abstractmethod
    def decode(self, z: Tensor) -> Distribution:
        """Returns p(x | z): (*batch, L) -> batch shape (*batch,)."""

    def auxiliary_loss(self) -> Tensor | float:
        """Returns the loss that parts of the model minimise under every objective: a scalar, nats."""
        return 0.0

    def infer_with_prior(self, x: Tensor) -> tuple[Distribution, Distribution]:
        """Returns q(z | x) and p(z); models override it where computing both together is cheaper."""
        return self.infer(x), self.latent_prior()

    def evaluate_terms(self, x: Tensor, q: Distribution, p: Distribution, num_samples: int) -> ImportanceTerms:
        """Evaluates the terms at `num_samples` fresh samples of q.

        The caller passes q and p, so that an evaluation builds p once for all data and q once for all samples.
        """
        z, log_qz = q.rsample_and_log_prob((num_samples,))  # (S, B, L), (S, B)
        return ImportanceTerms(q, p, z, self.decode(z).log_prob(x), p.log_prob(z), log_qz)

    def sample_terms(self, x: Tensor, num_samples: int) -> ImportanceTerms:
        """Samples the terms of log p(x, z_s) - log q(z_s | x), S of them for each example."""
        return self.evaluate_terms(x, *self.infer_with_prior(x), num_samples)

    def log_weights(self, x: Tensor, num_samples: int) -> Tensor:
        """Returns log p(x, z_s) - log q(z_s | x), (S, B). The mean of their exponentials is an unbiased p(x)."""
        return self.sample_terms(x, num_samples).log_w

    @torch.no_grad()
    def generate(self, n: int) -> Distribution:
        """Returns p(x | z) at n draws of the prior."""
        return self.decode(self.latent_prior().sample((n,)))

    def sample(self, n: int) -> Tensor:
        """Draws n examples from p(x), (n, *shape)."""
        return self.generate(n).sample()

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Returns the mean of p(x | z) at one draw of q(z | x), (B, *shape)."""
        return self.decode(self.infer(x).sample()).mean


class ContinuousLatentModel(LatentVariableModel, GenerativeModel):
    """Model with real-valued latent variables: samples are differentiable, and Markov chains can move among them."""
