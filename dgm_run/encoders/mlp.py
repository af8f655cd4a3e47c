"""Multi-layer perceptron over the flattened example."""

import math
from collections.abc import Sequence

from torch import Tensor

from dgm_run.encoders.base import Encoder
from dgm_run.networks.mlp import Activation, mlp


class MLPEncoder(Encoder):
    """Multi-layer perceptron. Without hidden layers the features are x itself, and the posterior is linear in x.

    Args:
        shape: shape of one example.
        hidden_dims: units of the hidden layers.
        activation: nonlinearity after each hidden layer.
    """

    def __init__(self, shape: Sequence[int], hidden_dims: Sequence[int], activation: Activation):
        super().__init__()
        self.event_dims = len(shape)
        self.network = mlp(math.prod(shape), hidden_dims, activation)
        self.feature_dim = hidden_dims[-1] if hidden_dims else math.prod(shape)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.flatten(-self.event_dims))
