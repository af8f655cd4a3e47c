"""M1 + M2: the semi-supervised model M2 of what a variational auto-encoder, M1, infers from x.

Source: D. P. Kingma et al., Semi-supervised learning with deep generative models, 2014,
https://arxiv.org/abs/1406.5298.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dgm_run.decoders.base import Decoder
from dgm_run.distributions.base import Distribution
from dgm_run.distributions.hierarchical import Hierarchical
from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.models.labelled.base import LabelledModel
from dgm_run.models.labelled.m2 import M2
from dgm_run.models.latent.vae import VAE
from dgm_run.models.layered import LayeredModel, Stage
from dgm_run.networks.gaussian import GaussianLayer
from dgm_run.networks.mlp import Activation, mlp
from dgm_run.posteriors.base import ExplicitPosterior
from dgm_run.priors.base import StandalonePrior


class FeatureDecoder(Decoder):
    """p(z1 | y, z2), Gaussian.

    Args:
        code_dim: of y and z2.
        hidden_dims: at least one.
        activation: after each.
        feature_dim: of z1.
        log_var_range: of its variances.

    Raises:
        ValueError: there is no hidden layer.
    """

    def __init__(
        self,
        code_dim: int,
        hidden_dims: Sequence[int],
        activation: Activation,
        feature_dim: int,
        log_var_range: Sequence[float],
    ):
        super().__init__()
        if not hidden_dims:
            raise ValueError("hidden_dims: the networks of M2 need a hidden layer")
        self.hidden = mlp(code_dim, hidden_dims, activation)
        self.output = GaussianLayer(hidden_dims[-1], feature_dim, log_var_range)

    def forward(self, z: Tensor) -> Distribution:
        return self.output(self.hidden(z), like=z)


class M1M2(LabelledModel, LayeredModel):
    """p(x | z1) p(z1 | y, z2) p(y) p(z2) with q(z1 | x) q(y | z1) q(z2 | z1, y). The code is (y, z2, z1).

    M1 is trained first, by itself, and then left as it is; M2 sees a fresh draw of q(z1 | x) of every example whenever
    it is trained, and the mean when it is evaluated.

    Args:
        latent_dim: of the code of M2: K places for the label, the rest for z2.
        feature_dim: of z1; prior, posterior and decoder are those of M1 and refer to it.
        num_classes: K.
        prior: of z1 in M1, until M2 takes its place.
        posterior: q(z1 | x).
        decoder: p(x | z1).
        hidden_dims: of q(y | z1), and of p(z1 | y, z2).
        hidden_dim: of q(z2 | z1, y).
        activation: of these networks.
        log_var_range: log-variances of z2, and of z1 given it, are clamped to it, with no gradient outside.
    """

    num_stages = 1
    whole = "M2 on what M1 infers"

    def __init__(
        self,
        latent_dim: int,
        feature_dim: int,
        num_classes: int,
        prior: StandalonePrior,
        posterior: ExplicitPosterior,
        decoder: Decoder,
        hidden_dims: Sequence[int],
        hidden_dim: int,
        activation: Activation,
        log_var_range: Sequence[float],
    ):
        super().__init__()
        self.feature_dim, self.num_classes = feature_dim, num_classes
        self.m1 = VAE(feature_dim, prior, posterior, decoder)
        self.m2 = M2(
            latent_dim,
            num_classes,
            MLPEncoder((feature_dim,), hidden_dims, activation),
            MLPEncoder((feature_dim,), [], activation),
            FeatureDecoder(latent_dim, hidden_dims, activation, feature_dim, log_var_range),
            hidden_dim,
            activation,
            log_var_range,
        )

    @classmethod
    def count_stages(cls, settings: Mapping[str, Any]) -> int:
        return cls.num_stages

    def stage(self, index: int) -> Stage:
        return Stage(self.m1, prepare=lambda x: x, finish=lambda: None)

    def train(self, mode: bool = True) -> "M1M2":
        """M1 stays as it is: batch normalisation in it would follow the batches of M2."""
        super().train(mode)
        self.m1.eval()
        return self

    @torch.no_grad()
    def observe(self, x: Tensor) -> Tensor:
        q = self.m1.infer(x)
        return q.sample() if self.training else q.mean

    def classify(self, seen: Tensor) -> Tensor:
        return self.m2.classify(seen)

    def log_joint_weights(self, seen: Tensor, y: Tensor) -> Tensor:
        """Of z1 in the place of x: M1 is the same for all labels."""
        return self.m2.log_joint_weights(seen, y)

    def infer(self, x: Tensor) -> Hierarchical:
        return Hierarchical(self.m1.infer(x), self.m2.infer, self.m2.latent_dim, second_in_front=True)

    def latent_prior(self) -> Hierarchical:
        return Hierarchical(self.m2.latent_prior(), self.m2.decode, self.feature_dim, second_in_front=False)

    def decode(self, z: Tensor) -> Distribution:
        return self.m1.decode(z[..., -self.feature_dim :])

    def by_class(self, n: int, like: Tensor) -> Tensor:
        return self.m1.decode(self.m2.by_class(n, like)).mean
