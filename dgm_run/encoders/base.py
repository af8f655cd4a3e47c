"""Base of encoders, which map an example to the features that a posterior reads."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """Encoder: forward(x) maps (*batch, *shape) -> (*batch, feature_dim).

    Attributes:
        takes: kinds of data that it can read (`Dataset.kind`).
    """

    takes: ClassVar[tuple[str, ...]] = ("binary", "levels", "continuous")
    feature_dim: int

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor: ...
