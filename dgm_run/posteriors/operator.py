"""Implicit posterior with test functions that compare its samples with the true posterior.

Source: R. Ranganath, J. Altosaar, D. Tran, D. Blei, Operator variational inference, 2016,
https://arxiv.org/abs/1610.09033.
"""

import torch
from torch import Tensor, nn

from dgm_run.encoders.base import Encoder
from dgm_run.networks.linear import linear
from dgm_run.networks.mlp import Activation
from dgm_run.posteriors.stein_particles import SteinParticlesPosterior


class TestFunction(nn.Module):
    """Bounded test function f(z; x) = A tanh(W z + V features + b), with |A| = 1 and |W| at most sqrt(hidden units).

    Its single hidden layer has the divergence sum_k (1 - tanh_k^2) (W A)_kk in closed form.

    Args:
        latent_dim: L.
        feature_dim: dimensions of the features.
        hidden_dim: hidden units.
    """

    __test__ = False

    def __init__(self, latent_dim: int, feature_dim: int, hidden_dim: int):
        super().__init__()
        self.into = linear(latent_dim, hidden_dim)
        self.features = linear(feature_dim, hidden_dim)
        self.out = nn.Linear(hidden_dim, latent_dim, bias=False)  # a unit with W = 0 acts as a constant

    def forward(self, z: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Computes f and its divergence in z: (S, B, L), (S, B)."""
        hidden_dim = self.into.weight.shape[0]
        w = self.into.weight * (hidden_dim**0.5 / self.into.weight.norm()).clamp(max=1)  # (H, L)
        a = self.out.weight / self.out.weight.norm()  # (L, H)
        t = torch.tanh(z @ w.T + self.into.bias + self.features(features))
        return t @ a.T, (1 - t.square()) @ (w * a.T).sum(-1)


class OperatorPosterior(SteinParticlesPosterior):
    """z = g(features of x, noise), with test functions of z and features for objective=operator.

    Args:
        encoder: computes the features.
        latent_dim: L.
        noise_dim: dimensions of the noise.
        hidden_dim: units of the layer over features and noise.
        activation: nonlinearity of that layer.
        test_dim: hidden units of the test functions.
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
