"""Independent real values with Student's t noise, whose tails are heavier than Gaussian ones."""

import math

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape

LOG_PI = math.log(math.pi)


class StudentT(Distribution):
    """p(x) = G((v + 1) / 2) / (G(v / 2) sqrt(pi v) s) (1 + ((x - m) / s)^2 / v)^(-(v + 1) / 2) for each element.

    G is the gamma function, m the location, s the scale, and v the degrees of freedom.

    Args:
        location: m, (*batch, D).
        log_scale: log s, broadcasts against `location`.
        degrees: v, broadcasts against `location`; above one, so that the mean exists.
    """

    def __init__(self, location: Tensor, log_scale: Tensor, degrees: Tensor):
        super().__init__(location.shape[:-1], location.shape[-1:])
        self.location = location
        self.log_scale = log_scale
        self.degrees = degrees

    @property
    def mean(self) -> Tensor:
        return self.location

    def log_prob(self, value: Tensor) -> Tensor:
        return self.sum_over_event(self.elementwise_log_prob(value))

    def elementwise_log_prob(self, value: Tensor) -> Tensor:
        v = self.degrees
        squares = ((value - self.location) * torch.exp(-self.log_scale)).square()
        log_normalizer = torch.lgamma((v + 1) / 2) - torch.lgamma(v / 2) - 0.5 * (LOG_PI + v.log()) - self.log_scale
        return log_normalizer - (v + 1) / 2 * torch.log1p(squares / v)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            shape = self.noise_shape(sample_shape)
            normal = torch.randn(shape, dtype=self.location.dtype, device=self.location.device)
            half_chi2 = torch._standard_gamma((self.degrees / 2).expand(shape))  # half of a chi-squared draw
            return self.location + self.log_scale.exp() * normal * torch.rsqrt(2 * half_chi2 / self.degrees)
