"""Approximations q(z | x) of the posterior over latent variables: what is known of their density."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from dgm_run.distributions.base import Distribution


class Posterior(nn.Module, ABC):
    """forward(x): (B, *shape) -> q(z | x) with batch shape (B,) and event shape (latent_dim,).

    Samples are differentiable; of the density nothing need be known.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Distribution: ...


class ExplicitPosterior(Posterior):
    """The density is known at its own samples, as bounds of the likelihood need it."""


class EvaluablePosterior(ExplicitPosterior):
    """The density is known at every z, as mixtures of posteriors need it."""


class ImplicitPosterior(Posterior):
    """There are samples alone, and no density."""
