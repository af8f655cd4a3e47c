"""Models of examples and their labels."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from dgm_run.models.base import GenerativeModel, LatentVariableModel, log_mean_exp


class JointModel(nn.Module, ABC):
    """Model of p(x, y) that classifies, by the exact p(y | x) or by a learned q(y | x).

    Attributes:
        num_classes: C.
        log_p_label: log p(y), (C,), nats.
    """

    num_classes: int
    log_p_label: Tensor

    def observe(self, x: Tensor) -> Tensor:
        """Returns the classifier's input, (B, ...): x, or features of x, drawn at random while training."""
        return x

    @abstractmethod
    def classify(self, observation: Tensor) -> Tensor:
        """Computes log q(y | x), or log p(y | x) where it is exact: (B, ...) -> (B, C).

        Args:
            observation: output of `observe`, (B, ...).
        """

    @abstractmethod
    def log_joint(self, observation: Tensor, num_samples: int) -> Tensor:
        """Computes log p(x, y) for every class, (C, B), nats: exactly, or from `num_samples` samples a class."""

    @abstractmethod
    def decode_class_means(self, n: int, like: Tensor) -> Tensor:
        """Returns means of p(x | y, z), (C n, *shape), at n draws of z that all classes share.

        Args:
            n: number of draws.
            like: a tensor that gives type and device.
        """

    @abstractmethod
    def sample_of_class(self, n: int, y: int) -> Tensor:
        """Draws n examples from p(x | y), (n, *shape)."""


class LabelledModel(JointModel, LatentVariableModel, GenerativeModel):
    """p(x, y) = integral of p(x | y, z) p(z) dz p(y), with q(y | x) and q(z | x, y).

    As a model of x alone it has the label as a latent variable: the first `num_classes` dimensions of z, one-hot. All
    labels have the same p(y).
    """

    @property
    def log_p_label(self) -> Tensor:  # type: ignore[override]  # a buffer of other models
        like = next(self.parameters())
        return torch.full((self.num_classes,), -math.log(self.num_classes), dtype=like.dtype, device=like.device)

    @abstractmethod
    def log_joint_weights(self, observation: Tensor, y: Tensor) -> Tensor:
        """Returns log p(x, y, z) - log q(z | x, y) at one draw z of q.

        Its mean over draws bounds log p(x, y) from below.

        Args:
            observation: output of `observe`, (B, ...).
            y: one-hot, (*samples, B, C) or (*samples, 1, C).

        Returns:
            (*samples, B), nats.
        """

    def log_joint_weights_per_class(self, observation: Tensor) -> Tensor:
        """Computes `log_joint_weights` for every class: (C, B)."""
        classes = torch.eye(self.num_classes, dtype=observation.dtype, device=observation.device)
        return self.log_joint_weights(observation, classes.unsqueeze(1))

    def log_joint(self, observation: Tensor, num_samples: int) -> Tensor:
        draws = [self.log_joint_weights_per_class(observation).double() for _ in range(num_samples)]
        return log_mean_exp(torch.stack(draws))  # mean over (S, C, B)
