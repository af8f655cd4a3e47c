"""What turns an example into features that a posterior reads."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """forward(x): (*batch, *shape) -> (*batch, feature_dim).

    Attributes:
        takes: the kinds of data it can read (`Dataset.kind`).
    """

    takes: ClassVar[tuple[str, ...]] = ("binary", "levels", "continuous")
    feature_dim: int

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor: ...
