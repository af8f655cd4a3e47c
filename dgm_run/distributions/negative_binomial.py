"""Independent counts whose variance exceeds their mean."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape


class NegativeBinomial(Distribution):
    """P(x) = G(x + r) / (x! G(r)) (r / (r + m))^r (m / (r + m))^x for each element, x = 0, 1, 2, ...

    G is the gamma function and m the mean. The variance is m + m^2 / r: it falls to that of Poisson counts as r grows.

    Args:
        log_mean: log m, (*batch, D).
        log_size: log r, broadcasts against `log_mean`.
    """

    def __init__(self, log_mean: Tensor, log_size: Tensor):
        super().__init__(log_mean.shape[:-1], log_mean.shape[-1:])
        self.log_mean = log_mean
        self.log_size = log_size

    @property
    def mean(self) -> Tensor:
        return self.log_mean.exp()

    def log_prob(self, value: Tensor) -> Tensor:
        return self.sum_over_event(self.elementwise_log_prob(value))

    def elementwise_log_prob(self, value: Tensor) -> Tensor:
        r = self.log_size.exp()
        logit = self.log_mean - self.log_size  # of m / (r + m)
        log_choices = torch.lgamma(value + r) - torch.lgamma(value + 1) - torch.lgamma(r)
        return log_choices + r * F.logsigmoid(-logit) + value * F.logsigmoid(logit)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draws Poisson counts whose rates have a gamma density."""
        with torch.no_grad():
            size = self.log_size.exp().expand(self.noise_shape(sample_shape))
            return torch.poisson(torch._standard_gamma(size) * (self.log_mean - self.log_size).exp())
