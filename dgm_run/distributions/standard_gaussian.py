"""Standard Gaussian N(0, I) over the last dimension."""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape
from dgm_run.distributions.diagonal_gaussian import LOG_2PI


class StandardGaussian(Distribution):
    """Gaussian with mean zero and unit variance, without parameters.

    Args:
        dim: number of dimensions L.
        like: a tensor that gives type and device.
    """

    has_rsample = True

    def __init__(self, dim: int, like: Tensor):
        super().__init__(torch.Size(), torch.Size([dim]))
        self._like = like

    @property
    def mean(self) -> Tensor:
        return self._like.new_zeros(self.event_shape)

    @property
    def variance(self) -> Tensor:
        return self._like.new_ones(self.event_shape)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return torch.randn(self.noise_shape(sample_shape), dtype=self._like.dtype, device=self._like.device)

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * (value.square().sum(-1) + self.event_shape[0] * LOG_2PI)

    def map(self, function: Callable[[Tensor], Tensor]) -> "StandardGaussian":
        return self
