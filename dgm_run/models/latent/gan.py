"""The generative adversarial network.

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
    """A decoder whose means are the samples, and a discriminator that tells them from data.

    With the noise of its decoder around them the samples have a density, which a GAN does not train but which can be
    evaluated as that of every other decoder.

    Args:
        latent_dim: L; the parts refer to it.
        prior: p(z).
        decoder: the generator: its mean.
        encoder: gives the features that the discriminator judges by.
        spectral_norm: whether the weights of the discriminator's layers are divided by their largest singular values.
    """

    def __init__(
        self, latent_dim: int, prior: StandalonePrior, decoder: Decoder, encoder: Encoder, spectral_norm: bool
    ):
        super().__init__(latent_dim, prior, decoder)
        self.encoder, self.head = encoder, linear(encoder.feature_dim, 1)
        if spectral_norm:
            for layer in self.layers():
                parametrizations.spectral_norm(layer)

    def draw(self, n: int) -> Tensor:
        """`sample`, differentiable."""
        return self.decode(self.latent_prior().sample((n,))).mean

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """n samples without noise, (n, *shape)."""
        return self.draw(n)

    def discriminate(self, x: Tensor) -> Tensor:
        """The log-odds of x being data, (B,)."""
        return self.head(self.encoder(x)).squeeze(-1).to(x.dtype)

    def layers(self) -> list[nn.Linear | nn.Conv2d]:
        """The discriminator's linear layers and convolutions."""
        parts = nn.ModuleList(self.discriminator)
        return [part for part in parts.modules() if isinstance(part, nn.Linear | nn.Conv2d)]

    @property
    def generator(self) -> list[nn.Module]:
        return [self.prior, self.decoder]

    @property
    def discriminator(self) -> list[nn.Module]:
        return [self.encoder, self.head]


def parameters_of(parts: list[nn.Module]) -> Iterator[nn.Parameter]:
    return (parameter for part in parts for parameter in part.parameters())
