"""Densities p(z) over latent variables."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn

from dgm_run.distributions.base import Distribution
from dgm_run.posteriors.base import Posterior


class Prior(nn.Module, ABC):
    """forward(posterior) -> p(z) with batch shape () and event shape (latent_dim,).

    The posterior is handed over at the call because some priors are functions of it (the VampPrior): held
    as a part its weights would stand twice in the state, built anew it would be a second encoder.
    """

    @abstractmethod
    def forward(self, posterior: Posterior | None) -> Distribution: ...

    def code(self, z: Tensor) -> Tensor:
        """What the decoder reads of z: z itself, unless the prior says what it stands for."""
        return z

    def with_posterior(self, posterior: Posterior, x: Tensor) -> tuple[Distribution, Distribution]:
        """q(z | x) and p(z). A prior that calls the posterior itself may do both in one pass."""
        return posterior(x), self(posterior)


class StandalonePrior(Prior):
    """A prior that needs no posterior, which a call may leave out."""


class AuxiliaryLossPrior(Prior):
    """A prior with a loss of its own; the objective of a run gives it no gradient."""

    @abstractmethod
    def auxiliary_loss(self, decode: Callable[[Tensor], Distribution]) -> Tensor:
        """A scalar in nats, by p(x | z), whose own parameters are held fixed."""
