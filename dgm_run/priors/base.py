"""Densities p(z) over latent variables."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn

from dgm_run.distributions.base import Distribution
from dgm_run.posteriors.base import Posterior


class Prior(nn.Module, ABC):
    """Prior over latent variables: forward(posterior) -> p(z) with batch shape () and event shape (latent_dim,).

    The call passes the posterior, because some priors are functions of it (the VampPrior). As a part of the prior, its
    weights would be saved twice; a second copy would be another encoder.
    """

    @abstractmethod
    def forward(self, posterior: Posterior | None) -> Distribution: ...

    def compute_decoder_input(self, z: Tensor) -> Tensor:
        """Maps z to the decoder's input: z itself, unless the prior defines another code."""
        return z

    def infer_with_prior(self, posterior: Posterior, x: Tensor) -> tuple[Distribution, Distribution]:
        """Returns q(z | x) and p(z); a prior that calls the posterior itself may compute both in one pass."""
        return posterior(x), self(posterior)


class StandalonePrior(Prior):
    """Prior that needs no posterior; its call accepts None."""


class AuxiliaryLossPrior(Prior):
    """Prior trained by a loss of its own; the objective of the run gives it no gradient."""

    @abstractmethod
    def auxiliary_loss(self, decode: Callable[[Tensor], Distribution]) -> Tensor:
        """Computes the loss from p(x | z), whose parameters are frozen: a scalar, nats."""
