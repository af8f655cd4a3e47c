"""Models of examples and their labels."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from dgm_run.models.base import LatentVariableModel, log_mean_exp


class JointModel(nn.Module, ABC):
    """Tells p(x, y), and from it or by itself which label an example has.

    Attributes:
        num_classes: K.
    """

    num_classes: int

    def observe(self, x: Tensor) -> Tensor:
        """What labels are told from: x, or a draw of what it is first turned into."""
        return x

    @abstractmethod
    def classify(self, seen: Tensor) -> Tensor:
        """log q(y | x), or p where it is known: of what is observed of x, (B, ...) -> (B, K)."""

    @abstractmethod
    def log_joint(self, seen: Tensor, num_samples: int) -> Tensor:
        """log p(x, y) for every class, (K, B), nats: exact, or by so many samples for each."""

    @abstractmethod
    def by_class(self, n: int, like: Tensor) -> Tensor:
        """Means of p(x | y, z) at n draws of z for each class, the same ones: (K n, *shape), of the type of `like`."""


class LabelledModel(JointModel, LatentVariableModel):
    """p(x, y) = integral of p(x | y, z) p(z) dz p(y), with q(y | x) and q(z | x, y).

    As a model of x alone the label is a latent variable: the first `num_classes` places of its code, one-hot.
    """

    @abstractmethod
    def log_joint_weights(self, seen: Tensor, y: Tensor) -> Tensor:
        """log p(x, y, z) - log q(z | x, y) at one draw z of q, whose mean is a bound of log p(x, y).

        Args:
            seen: what is observed of x, (B, ...).
            y: one-hot, (*samples, B, K) or (*samples, 1, K).

        Returns:
            (*samples, B), nats.
        """

    def log_joint_weights_of_all(self, seen: Tensor) -> Tensor:
        """`log_joint_weights` for every class: (K, B)."""
        classes = torch.eye(self.num_classes, dtype=seen.dtype, device=seen.device)
        return self.log_joint_weights(seen, classes.unsqueeze(1))

    def log_joint(self, seen: Tensor, num_samples: int) -> Tensor:
        log_w = torch.stack([self.log_joint_weights_of_all(seen).double() for _ in range(num_samples)])  # (S, K, B)
        return log_mean_exp(log_w)
