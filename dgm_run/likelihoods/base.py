"""Base of likelihoods, which map a decoder's output to a distribution over x."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from dgm_run.distributions.base import Distribution


class Likelihood(nn.Module, ABC):
    """Likelihood: forward(params) maps (*batch, *params_shape) -> p(x | z), batch shape (*batch,), event `shape`.

    Attributes:
        takes: kinds of data (`Dataset.kind`) for which p(x | z) is normalised.
        num_params: decoder outputs for each element of an example.
        is_stationary: whether all elements share the likelihood's parameters, so that it also applies to one pixel.
    """

    takes: tuple[str, ...]
    num_params: int = 1
    is_stationary: bool = True

    def __init__(self, shape: Sequence[int]):
        super().__init__()
        self.shape = tuple(shape)

    @property
    def params_shape(self) -> tuple[int, ...]:
        """Shape of a decoder's outputs for one example; other shapes are for decoders without pixels."""
        return (self.num_params, *self.shape)

    @abstractmethod
    def forward(self, params: Tensor) -> Distribution: ...
