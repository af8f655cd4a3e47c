"""Base of encoders, which map an example to the features that a posterior reads."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """Encoder: forward(x) maps (*batch, *shape) -> (*batch, feature_dim).

    Attributes:
        takes: kinds of data that it can read (`Dataset.kind`).
        reads_missing: whether it reads missing elements, NaN; others need zeros in their place.
    """

    takes: ClassVar[tuple[str, ...]] = ("binary", "levels", "continuous")
    reads_missing: ClassVar[bool] = False
    feature_dim: int

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor: ...
