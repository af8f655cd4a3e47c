"""What turns an example into features that a posterior reads."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """forward(x): (*batch, *shape) -> (*batch, feature_dim)."""

    feature_dim: int

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor: ...
