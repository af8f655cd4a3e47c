"""Approximations q(z | x) of the posterior over latent variables."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from dgm_run.distributions.base import Distribution


class Posterior(nn.Module, ABC):
    """forward(x): (B, *shape) -> q(z | x) with batch shape (B,) and event shape (latent_dim,)."""

    @abstractmethod
    def forward(self, x: Tensor) -> Distribution: ...
