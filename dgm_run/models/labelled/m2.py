"""Generative semi-supervised model M2.

Source: D. P. Kingma et al., Semi-supervised learning with deep generative models, 2014,
https://arxiv.org/abs/1406.5298.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
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
        latent_dim: dimensions of the code that the decoder reads: C for the label, the rest for z.
        num_classes: C.
        classifier: encoder whose features give q(y | x).
        encoder: encoder whose features give q(z | x, y).
        decoder: p(x | y, z).
        hidden_dim: units of the layer of q(z | x, y) that reads features and label.
        activation: nonlinearity of that layer.
        log_var_range: interval to which log-variances of z are clamped; no gradient outside.

    Raises:
        ValueError: the code has no dimension for z.
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
                f"latent_dim = {latent_dim} must exceed {num_classes}, the dimensions of the code that hold the label"
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

    def classify(self, observation: Tensor) -> Tensor:
        return self.head(self.classifier(observation)).to(observation.dtype).log_softmax(-1)

    def log_joint_weights(self, observation: Tensor, y: Tensor) -> Tensor:
        z, log_q = self._infer_given_label(observation)(y).rsample_and_log_prob()
        y = y.expand(*z.shape[:-1], self.num_classes)
        log_px = self.decode(torch.cat([y, z], -1)).log_prob(observation)
        log_pz = self._standard_prior(y).log_prob(z)
        return log_px + log_pz - (log_q + math.log(self.num_classes))

    def infer(self, x: Tensor) -> Hierarchical:
        return Hierarchical(OneHot(self.classify(x)), self._infer_given_label(x), self.z_dim, has_second_first=False)

    def latent_prior(self) -> Hierarchical:
        classes = OneHot(self.head.weight.new_zeros(self.num_classes))
        return Hierarchical(classes, self._standard_prior, self.z_dim, has_second_first=False)

    def decode(self, z: Tensor) -> Distribution:
        return self.decoder(z)

    def _infer_given_label(self, x: Tensor) -> Callable[[Tensor], DiagonalGaussian]:
        """Returns the map y -> q(z | x, y); the features of x are computed once for all labels."""
        x_term = self.joint.first(self.encoder(x))
        return lambda y: self.recognition(self.joint(x_term, y), like=x)

    def _standard_prior(self, y: Tensor) -> DiagonalGaussian:
        zeros = y.new_zeros(*y.shape[:-1], self.z_dim)
        return DiagonalGaussian(zeros, zeros)

    def sample_of_class(self, n: int, y: int) -> Tensor:
        like = self.head.weight
        label = F.one_hot(torch.tensor(y), self.num_classes).to(like).expand(n, -1)
        z = torch.randn(n, self.z_dim, dtype=like.dtype, device=like.device)
        return self.decode(torch.cat([label, z], -1)).sample()

    def decode_class_means(self, n: int, like: Tensor) -> Tensor:
        classes = torch.eye(self.num_classes, dtype=like.dtype, device=like.device)
        z = torch.randn(n, self.z_dim, dtype=like.dtype, device=like.device)
        code = torch.cat([classes.repeat_interleave(n, 0), z.repeat(self.num_classes, 1)], -1)  # (C n, latent_dim)
        return self.decode(code).mean
