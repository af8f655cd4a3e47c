"""Models of examples and their labels."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from dgm_run.models.base import GenerativeModel, LatentVariableModel, log_mean_exp


class JointModel(nn.Module, ABC):
    """Model of p(x, y) that classifies, by p(y | x) or by a q(y | x) of its own.

    Attributes:
        num_classes: K.
    """

    num_classes: int

    def observe(self, x: Tensor) -> Tensor:
        """Returns the classifier's input: x, or a draw of the features that replace it."""
        return x

    @abstractmethod
    def classify(self, observation: Tensor) -> Tensor:
        """Computes log q(y | x), or log p(y | x) where it is exact: (B, ...) -> (B, K).

        Args:
            observation: what `observe` returns.
        """

    @abstractmethod
    def log_joint(self, observation: Tensor, num_samples: int) -> Tensor:
        """Computes log p(x, y) for every class, (K, B), nats: exactly, or from `num_samples` samples a class."""

    @abstractmethod
    def decode_class_means(self, n: int, like: Tensor) -> Tensor:
        """Returns means of p(x | y, z) at n draws of z shared by all classes, (K n, *shape), in the type of `like`."""


class LabelledModel(JointModel, LatentVariableModel, GenerativeModel):
    """p(x, y) = integral of p(x | y, z) p(z) dz p(y), with q(y | x) and q(z | x, y).

    As a model of x alone the label is a latent variable: the first `num_classes` dimensions of its code, one-hot.
    """

    @abstractmethod
    def log_joint_weights(self, observation: Tensor, y: Tensor) -> Tensor:
        """Returns log p(x, y, z) - log q(z | x, y) at one draw z of q; its mean bounds log p(x, y) from below.

        Args:
            observation: what `observe` returns, (B, ...).
            y: one-hot, (*samples, B, K) or (*samples, 1, K).

        Returns:
            (*samples, B), nats.
        """

    def log_joint_weights_per_class(self, observation: Tensor) -> Tensor:
        """Computes `log_joint_weights` for every class: (K, B)."""
        classes = torch.eye(self.num_classes, dtype=observation.dtype, device=observation.device)
        return self.log_joint_weights(observation, classes.unsqueeze(1))

    def log_joint(self, observation: Tensor, num_samples: int) -> Tensor:
        log_w = torch.stack(
            [self.log_joint_weights_per_class(observation).double() for _ in range(num_samples)]
        )  # (S, K, B)
        return log_mean_exp(log_w)
