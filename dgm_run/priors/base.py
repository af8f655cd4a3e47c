"""Densities p(z) over latent variables."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn

from dgm_run.distributions.base import Distribution
from dgm_run.posteriors.base import Posterior


class Prior(nn.Module, ABC):
    """Prior over latent variables: forward(posterior) -> p(z) with batch shape () and event shape (latent_dim,).

    The call passes the posterior, because the VampPrior is a function of it. If the prior held the posterior as a part,
    checkpoints would hold its weights twice.
    """

    @abstractmethod
    def forward(self, posterior: Posterior | None) -> Distribution: ...

    def compute_decoder_input(self, z: Tensor) -> Tensor:
        """Maps z to the decoder's input, (..., L) -> (..., L'); most priors return z itself."""
        return z

    def infer_with_prior(self, posterior: Posterior, x: Tensor) -> tuple[Distribution, Distribution]:
        """Returns q(z | x), batch shape (B,), and p(z), batch shape (); a VampPrior computes both in one pass."""
        return posterior(x), self(posterior)


class StandalonePrior(Prior):
    """Prior that needs no posterior; its call accepts None."""


class AuxiliaryLossPrior(Prior):
    """Prior trained by a loss of its own; the objective of the run gives it no gradient."""

    @abstractmethod
    def auxiliary_loss(self, decode: Callable[[Tensor], Distribution]) -> Tensor:
        """Computes the loss from p(x | z) with frozen parameters: a scalar, nats."""
