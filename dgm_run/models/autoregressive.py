"""Autoregressive density without latent variables, with an exact likelihood.

Source: A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu, Pixel recurrent neural networks, 2016,
https://arxiv.org/abs/1601.06759.
"""

import torch
from torch import Tensor

from dgm_run.decoders.base import Decoder
from dgm_run.distributions.base import Distribution
from dgm_run.models.base import ExactModel


class Autoregressive(ExactModel):
    """p(x) = prod_i p(x_i | x_1, ..., x_{i-1}), from an autoregressive decoder at z = (1, ..., 1).

    With another decoder it is a model of independent pixels.

    Args:
        latent_dim: length of the vector of ones; the decoder refers to it.
        decoder: p(x).
    """

    def __init__(self, latent_dim: int, decoder: Decoder):
        super().__init__()
        self.latent_dim = latent_dim
        self.decoder = decoder

    def density(self, n: int) -> Distribution:
        """Returns p(x), batch shape (n,)."""
        like = next(self.decoder.parameters())
        return self.decoder(like.new_ones(n, self.latent_dim))

    def log_prob(self, x: Tensor) -> Tensor:
        return self.density(len(x)).log_prob(x)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Draws n examples from p(x), (n, *shape)."""
        return self.density(n).sample()
