"""Multi-layer perceptron decoder."""

import math
from collections.abc import Sequence

from torch import Tensor

from dgm_run.decoders.base import Decoder
from dgm_run.distributions.base import Distribution
from dgm_run.likelihoods.base import Likelihood
from dgm_run.networks.linear import linear
from dgm_run.networks.mlp import Activation, mlp


class MLPDecoder(Decoder):
    """Multi-layer perceptron; pixels are independent given z. Without hidden layers it is linear, as factor analysis.

    Args:
        latent_dim: L.
        hidden_dims: units of the hidden layers.
        activation: nonlinearity after each hidden layer.
        likelihood: likelihood of the pixels.
    """

    def __init__(self, latent_dim: int, hidden_dims: Sequence[int], activation: Activation, likelihood: Likelihood):
        super().__init__()
        self.likelihood = likelihood
        self.network = mlp(latent_dim, hidden_dims, activation)
        features = hidden_dims[-1] if hidden_dims else latent_dim
        self.output = linear(features, math.prod(likelihood.params_shape))

    def forward(self, z: Tensor) -> Distribution:
        params = self.output(self.network(z)).to(z.dtype)  # densities stay in full precision under autocast
        return self.likelihood(params.unflatten(-1, self.likelihood.params_shape))  # batch shape z.shape[:-1]
