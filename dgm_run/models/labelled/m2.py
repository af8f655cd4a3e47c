"""The generative semi-supervised model M2.

Source: D. P. Kingma et al., Semi-supervised learning with deep generative models, 2014,
https://arxiv.org/abs/1406.5298.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dgm_run.decoders.base import Decoder
from dgm_run.distributions.base import Distribution
from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian
from dgm_run.distributions.hierarchical import Hierarchical
from dgm_run.distributions.one_hot import OneHot
from dgm_run.encoders.base import Encoder
from dgm_run.models.labelled.base import LabelledModel
from dgm_run.networks.gaussian import GaussianLayer
from dgm_run.networks.linear import linear
from dgm_run.networks.mlp import Activation, TwoInputLayer


class M2(LabelledModel):
    """p(x | y, z) p(y) p(z) with q(y | x) q(z | x, y); p(y) is uniform and p(z) = N(0, I). The code is (y, z).

    Args:
        latent_dim: of the code, which the decoder reads: K places for the label, the rest for z.
        num_classes: K.
        classifier: gives the features by which x reaches q(y | x).
        encoder: gives those by which it reaches q(z | x, y).
        decoder: p(x | y, z).
        hidden_dim: of the layer of q(z | x, y) in which the label joins in.
        activation: of that layer.
        log_var_range: log-variances of z are clamped to it, with no gradient outside.

    Raises:
        ValueError: the code has no place for z.
    """

    copies = {"encoder": 2}

    def __init__(
        self,
        latent_dim: int,
        num_classes: int,
        classifier: Encoder,
        encoder: Encoder,
        decoder: Decoder,
        hidden_dim: int,
        activation: Activation,
        log_var_range: Sequence[float],
    ):
        super().__init__()
        if latent_dim <= num_classes:
            raise ValueError(
                f"latent_dim = {latent_dim} must exceed {num_classes}, the places that the label takes of the code"
            )
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.z_dim = latent_dim - num_classes
        self.classifier = classifier
        self.encoder = encoder
        self.decoder = decoder
        self.head = linear(classifier.feature_dim, num_classes)
        self.joint = TwoInputLayer(encoder.feature_dim, num_classes, hidden_dim, activation)
        self.recognition = GaussianLayer(hidden_dim, self.z_dim, log_var_range)

    def classify(self, seen: Tensor) -> Tensor:
        return self.head(self.classifier(seen)).to(seen.dtype).log_softmax(-1)

    def log_joint_weights(self, seen: Tensor, y: Tensor) -> Tensor:
        z, log_q = self._given_label(seen)(y).rsample_and_log_prob()
        y = y.expand(*z.shape[:-1], self.num_classes)
        return (
            self.decode(torch.cat([y, z], -1)).log_prob(seen)
            + self.latent_prior().second(y).log_prob(z)
            - (log_q + math.log(self.num_classes))
        )

    def infer(self, x: Tensor) -> Hierarchical:
        return Hierarchical(OneHot(self.classify(x)), self._given_label(x), self.z_dim, second_in_front=False)

    def latent_prior(self) -> Hierarchical:
        classes = OneHot(self.head.weight.new_zeros(self.num_classes))
        return Hierarchical(classes, self._standard, self.z_dim, second_in_front=False)

    def decode(self, z: Tensor) -> Distribution:
        return self.decoder(z)

    def _given_label(self, x: Tensor):
        """y -> q(z | x, y); what x adds is made once for all labels."""
        of_x = self.joint.first(self.encoder(x))
        return lambda y: self.recognition(self.joint(of_x, y), like=x)

    def _standard(self, y: Tensor) -> DiagonalGaussian:
        zeros = y.new_zeros(*y.shape[:-1], self.z_dim)
        return DiagonalGaussian(zeros, zeros)

    def by_class(self, n: int, like: Tensor) -> Tensor:
        classes = torch.eye(self.num_classes, dtype=like.dtype, device=like.device)
        z = torch.randn(n, self.z_dim, dtype=like.dtype, device=like.device)
        return self.decode(torch.cat([classes.repeat_interleave(n, 0), z.repeat(self.num_classes, 1)], -1)).mean
