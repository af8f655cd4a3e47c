"""Independent counts whose variance is their mean."""

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape


class Poisson(Distribution):
    """P(x) = exp(x log r - r) / x! for each element, with the rate r and x = 0, 1, 2, ...

    Args:
        log_rate: log r, (*batch, D).
    """

    def __init__(self, log_rate: Tensor):
        super().__init__(log_rate.shape[:-1], log_rate.shape[-1:])
        self.log_rate = log_rate

    @property
    def mean(self) -> Tensor:
        return self.log_rate.exp()

    def log_prob(self, value: Tensor) -> Tensor:
        return self.sum_over_event(self.elementwise_log_prob(value))

    def elementwise_log_prob(self, value: Tensor) -> Tensor:
        return value * self.log_rate - self.log_rate.exp() - torch.lgamma(value + 1)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            return torch.poisson(self.mean.expand(self.noise_shape(sample_shape)))
