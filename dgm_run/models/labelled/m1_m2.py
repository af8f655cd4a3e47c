"""M1 + M2: the semi-supervised model M2 on features that M1, a variational auto-encoder, infers from x.

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
    """Gaussian p(z1 | y, z2).

    Args:
        code_dim: dimensions of y and z2 together.
        hidden_dims: units of the hidden layers, at least one.
        activation: nonlinearity after each hidden layer.
        feature_dim: dimensions of z1.
        log_var_range: interval of the log-variances.

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
            raise ValueError(
                "hidden_dims = [] is empty: the networks of M2 need a hidden layer, as model.hidden_dims=[300]"
            )
        self.hidden = mlp(code_dim, hidden_dims, activation)
        self.output = GaussianLayer(hidden_dims[-1], feature_dim, log_var_range)

    def forward(self, z: Tensor) -> Distribution:
        return self.output(self.hidden(z), like=z)


class M1M2(LabelledModel, LayeredModel):
    """p(x | z1) p(z1 | y, z2) p(y) p(z2) with q(z1 | x) q(y | z1) q(z2 | z1, y). The code is (y, z2, z1).

    M1 is trained first, by itself, and stays fixed afterwards. M2 receives a fresh draw of q(z1 | x) in each training
    step, and the mean in evaluation.

    Args:
        latent_dim: dimensions of M2's code: C for the label, the rest for z2.
        feature_dim: dimensions of z1; prior, posterior and decoder of M1 refer to it.
        num_classes: C.
        prior: p(z1) of M1, which M2 later replaces.
        posterior: q(z1 | x).
        decoder: p(x | z1).
        hidden_dims: hidden layers of q(y | z1) and of p(z1 | y, z2).
        hidden_dim: hidden units of q(z2 | z1, y).
        activation: nonlinearity of these networks.
        log_var_range: interval to which log-variances of z2, and of z1 given z2, are clamped; no gradient outside.
    """

    num_stages = 1
    joint_stage_name = "M2 on the features of M1"

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
        self.feature_dim = feature_dim
        self.num_classes = num_classes
        self.m1 = VAE(feature_dim, prior, posterior, decoder)
        self.m2 = M2(
            latent_dim=latent_dim,
            num_classes=num_classes,
            classifier=MLPEncoder((feature_dim,), hidden_dims, activation),
            encoder=MLPEncoder((feature_dim,), [], activation),
            decoder=FeatureDecoder(latent_dim, hidden_dims, activation, feature_dim, log_var_range),
            hidden_dim=hidden_dim,
            activation=activation,
            log_var_range=log_var_range,
        )

    @classmethod
    def count_stages(cls, settings: Mapping[str, Any]) -> int:
        return cls.num_stages

    def build_stage(self, index: int) -> Stage:
        return Stage(self.m1, prepare=lambda x: x, finish=lambda: None)

    def train(self, mode: bool = True) -> "M1M2":
        """Sets the mode of M2 alone; batch normalisation in M1 would otherwise adapt to M2's batches."""
        super().train(mode)
        self.m1.eval()
        return self

    @torch.no_grad()
    def observe(self, x: Tensor) -> Tensor:
        q = self.m1.infer(x)
        return q.sample() if self.training else q.mean

    def classify(self, observation: Tensor) -> Tensor:
        return self.m2.classify(observation)

    def log_joint_weights(self, observation: Tensor, y: Tensor) -> Tensor:
        """Computes log p(z1, y, z2) - log q(z2 | z1, y); the terms of M1 are equal for all labels and left out."""
        return self.m2.log_joint_weights(observation, y)

    def sample_of_class(self, n: int, y: int) -> Tensor:
        return self.m1.decode(self.m2.sample_of_class(n, y)).sample()

    def infer(self, x: Tensor) -> Hierarchical:
        return Hierarchical(self.m1.infer(x), self.m2.infer, self.m2.latent_dim, has_second_first=True)

    def latent_prior(self) -> Hierarchical:
        return Hierarchical(self.m2.latent_prior(), self.m2.decode, self.feature_dim, has_second_first=False)

    def decode(self, z: Tensor) -> Distribution:
        return self.m1.decode(z[..., -self.feature_dim :])

    def decode_class_means(self, n: int, like: Tensor) -> Tensor:
        return self.m1.decode(self.m2.decode_class_means(n, like)).mean
