"""Implicit posterior for amortised Stein variational gradient descent.

Sources: Y. Feng, D. Wang, Q. Liu, Learning to draw samples with amortized Stein variational gradient descent, 2017,
https://arxiv.org/abs/1707.06626; Y. Pu et al., VAE learning via Stein variational gradient descent, 2017,
https://arxiv.org/abs/1704.05155.
"""

from torch import Tensor

from dgm_run.distributions.implicit import Implicit
from dgm_run.encoders.base import Encoder
from dgm_run.networks.linear import linear
from dgm_run.networks.mlp import Activation, TwoInputLayer
from dgm_run.posteriors.base import ImplicitPosterior


class SteinParticlesPosterior(ImplicitPosterior):
    """z = g(features of x, noise), with one hidden layer over both. It has no density.

    Args:
        encoder: computes the features.
        latent_dim: L.
        noise_dim: dimensions of the noise.
        hidden_dim: units of the layer over features and noise.
        activation: nonlinearity of that layer.

    Raises:
        ValueError: there is no noise.
    """

    def __init__(self, encoder: Encoder, latent_dim: int, noise_dim: int, hidden_dim: int, activation: Activation):
        super().__init__()
        if noise_dim < 1:
            raise ValueError(f"noise_dim = {noise_dim} must be positive: without noise all samples are equal")
        self.encoder = encoder
        self.latent_dim = latent_dim
        self.noise_dim = noise_dim
        self.joint = TwoInputLayer(encoder.feature_dim, noise_dim, hidden_dim, activation)
        self.output = linear(hidden_dim, latent_dim)

    def forward(self, x: Tensor) -> Implicit:
        feature_term = self.joint.first(self.encoder(x))

        def generate(noise: Tensor) -> Tensor:
            return self.output(self.joint(feature_term, noise)).to(noise.dtype)

        return Implicit(generate, self.noise_dim, x.shape[:1], self.latent_dim, x)
