"""Kinds of approximate posteriors q(z | x): with a density at every z, at their own samples only, or nowhere."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from dgm_run.distributions.base import Distribution


class Posterior(nn.Module, ABC):
    """Approximate posterior: forward(x) maps (B, *shape) -> q(z | x), batch shape (B,), event shape (latent_dim,).

    Samples are differentiable; the density may be unknown.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Distribution: ...


class ExplicitPosterior(Posterior):
    """Posterior with a density known at its own samples, which bounds of the likelihood need."""


class EvaluablePosterior(ExplicitPosterior):
    """Posterior with a density known at every z, which mixtures of posteriors need."""


class ImplicitPosterior(Posterior):
    """Posterior with samples but no density."""
