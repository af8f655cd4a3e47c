"""Implicit posterior with a test function for operator variational inference.

Source: R. Ranganath, J. Altosaar, D. Tran, D. Blei, Operator variational inference, 2016,
https://arxiv.org/abs/1610.09033.
"""

import torch
from torch import Tensor, nn

from dgm_run.encoders.base import Encoder
from dgm_run.networks.linear import Linear, linear
from dgm_run.networks.mlp import Activation
from dgm_run.posteriors.stein_particles import SteinParticlesPosterior


class TestFunction(nn.Module):
    """Bounded test function f(z; x) = A tanh(W z + V features + b), with |A| = 1 and |W| at most sqrt(M).

    Its single hidden layer has the divergence sum_k (1 - tanh_k^2) (W A)_kk in closed form.

    Args:
        latent_dim: L.
        feature_dim: dimensions of the features.
        hidden_dim: M, hidden units.
    """

    __test__ = False

    def __init__(self, latent_dim: int, feature_dim: int, hidden_dim: int):
        super().__init__()
        self.into = linear(latent_dim, hidden_dim)
        self.features = linear(feature_dim, hidden_dim)
        self.out = Linear(hidden_dim, latent_dim, bias=False)  # a hidden unit with W = 0 serves as a bias

    def forward(self, z: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Computes f and its divergence in z: (S, B, L), (S, B)."""
        hidden_dim = self.into.weight.shape[0]
        w = self.into.weight * (hidden_dim**0.5 / self.into.weight.norm()).clamp(max=1)  # (M, L)
        a = self.out.weight / self.out.weight.norm()  # (L, M)
        t = torch.tanh(z @ w.T + self.into.bias + self.features(features))  # (S, B, M)
        return t @ a.T, (1 - t.square()) @ (w * a.T).sum(-1)


class OperatorPosterior(SteinParticlesPosterior):
    """z = g(features of x, noise), with a test function of z and features for objective=operator.

    Args:
        encoder: computes the features.
        latent_dim: L.
        noise_dim: dimensions of the noise.
        hidden_dim: units of the layer over features and noise.
        activation: nonlinearity of that layer.
        test_dim: hidden units of the test function.
    """

    def __init__(
        self,
        encoder: Encoder,
        latent_dim: int,
        noise_dim: int,
        hidden_dim: int,
        activation: Activation,
        test_dim: int,
    ):
        super().__init__(encoder, latent_dim, noise_dim, hidden_dim, activation)
        self.test_function = TestFunction(latent_dim, encoder.feature_dim, test_dim)
