"""What turns the output of a decoder into a distribution over x."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from dgm_run.distributions.base import Distribution


class Likelihood(nn.Module, ABC):
    """forward(params): (*batch, num_params, *shape) -> p(x | z) with batch shape (*batch,) and event `shape`.

    Attributes:
        takes: the kinds of data it is a normalised density of (`Dataset.kind`).
        num_params: outputs a decoder gives for each element of an example.
        is_stationary: whether all elements share its own parameters, so that it holds for a single pixel as well.
    """

    takes: tuple[str, ...]
    num_params: int = 1
    is_stationary: bool = True

    def __init__(self, shape: Sequence[int]):
        super().__init__()
        self.shape = tuple(shape)

    @abstractmethod
    def forward(self, params: Tensor) -> Distribution: ...
