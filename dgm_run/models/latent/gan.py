"""Generative adversarial network.

Sources: I. Goodfellow et al., Generative adversarial networks, 2014, https://arxiv.org/abs/1406.2661; T. Miyato et al.,
Spectral normalization for generative adversarial networks, 2018, https://arxiv.org/abs/1802.05957.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from dgm_run.decoders.base import Decoder
from dgm_run.encoders.base import Encoder
from dgm_run.models.latent.density_network import DensityNetwork
from dgm_run.networks.linear import linear
from dgm_run.priors.base import StandalonePrior


class GAN(DensityNetwork):
    """Decoder whose means are the samples, with a discriminator between samples and data.

    The decoder's noise around the means gives the samples a density. A GAN does not train this density, but estimators
    can evaluate it as for every other decoder.

    Args:
        latent_dim: L; prior and decoder refer to it.
        prior: p(z).
        decoder: the generator is its mean.
        encoder: computes the discriminator's features.
        spectral_norm: whether the weights of the discriminator's layers are divided by their largest singular values.
    """

    def __init__(
        self, latent_dim: int, prior: StandalonePrior, decoder: Decoder, encoder: Encoder, spectral_norm: bool
    ):
        super().__init__(latent_dim, prior, decoder)
        self.encoder = encoder
        self.head = linear(encoder.feature_dim, 1)
        if spectral_norm:
            for layer in self.discriminator_layers():
                parametrizations.spectral_norm(layer)

    def draw(self, n: int) -> Tensor:
        """Draws n samples, (n, *shape), differentiable in the generator's parameters."""
        return self.decode(self.latent_prior().sample((n,))).mean

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Draws n samples without noise, (n, *shape)."""
        return self.draw(n)

    def discriminate(self, x: Tensor) -> Tensor:
        """Computes the log-odds that x is data, (B, *shape) -> (B,)."""
        return self.head(self.encoder(x)).squeeze(-1).to(x.dtype)

    def discriminator_layers(self) -> list[nn.Linear | nn.Conv2d]:
        """Lists the discriminator's linear layers and convolutions."""
        parts = nn.ModuleList(self.discriminator)
        return [part for part in parts.modules() if isinstance(part, nn.Linear | nn.Conv2d)]

    @property
    def generator(self) -> list[nn.Module]:
        return [self.prior, self.decoder]

    @property
    def discriminator(self) -> list[nn.Module]:
        return [self.encoder, self.head]


def iterate_parameters(parts: list[nn.Module]) -> Iterator[nn.Parameter]:
    """Iterates over the parameters of several parts."""
    return (parameter for part in parts for parameter in part.parameters())
