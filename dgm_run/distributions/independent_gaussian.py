"""Independent real-valued pixels with Gaussian noise."""

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution
from dgm_run.distributions.diagonal_gaussian import LOG_2PI


class IndependentGaussian(Distribution):
    """N(x; mean, exp(2 log_scale)) over every element of an example of any shape.

    Args:
        mean: (*batch, *shape).
        log_scale: broadcasts against `mean`; a scalar shares one scale among all elements.
        event_dims: number of trailing dimensions that make one example.
    """

    has_rsample = True

    def __init__(self, mean: Tensor, log_scale: Tensor, event_dims: int):
        cut = mean.dim() - event_dims
        super().__init__(mean.shape[:cut], mean.shape[cut:])
        self.loc, self.log_scale = mean, log_scale

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return torch.exp(2 * self.log_scale).expand_as(self.loc)

    def log_prob(self, value: Tensor) -> Tensor:
        standardised = (value - self.loc) * torch.exp(-self.log_scale)
        log_p = -0.5 * (standardised.square() + LOG_2PI) - self.log_scale
        return log_p.flatten(log_p.dim() - len(self.event_shape)).sum(-1)

    def rsample(self, sample_shape: torch.Size | tuple = ()) -> Tensor:
        noise = torch.randn(self.noise_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self.log_scale.exp() * noise
