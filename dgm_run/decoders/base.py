"""Base of decoders, which map latent variables to a distribution over x."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from dgm_run.distributions.base import Distribution


class Decoder(nn.Module, ABC):
    """Decoder: forward(z) maps (*batch, latent_dim) -> p(x | z) with batch shape (*batch,)."""

    @abstractmethod
    def forward(self, z: Tensor) -> Distribution: ...
