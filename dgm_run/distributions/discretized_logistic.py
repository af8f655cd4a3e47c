"""Grey levels as bins of a logistic density."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape


class DiscretizedLogistic(Distribution):
    """P(k) = F((k + 1) / n) - F(k / n) for level k = 0 .. n - 1, F the logistic distribution function.

    The edge bins include the tails, so that the masses of the n levels sum to one at every mean and scale. Without the
    tails the sum is 0.23 at mean 0, scale 1. Values are intensities k / (n - 1).

    Source: T. Salimans et al., PixelCNN++, 2017, https://arxiv.org/abs/1701.05517 (the edge bins).

    Args:
        mean: (*batch, *shape), in units of intensity bins on [0, 1].
        log_scale: broadcasts against `mean`.
        num_levels: n.
        event_dims: number of trailing dimensions that make one example.
    """

    def __init__(self, mean: Tensor, log_scale: Tensor, num_levels: int, event_dims: int):
        batch_dims = mean.dim() - event_dims
        super().__init__(mean.shape[:batch_dims], mean.shape[batch_dims:])
        self.loc = mean
        self.log_scale = log_scale
        self.num_levels = num_levels

    @property
    def mean(self) -> Tensor:
        """Mean intensity: E[k] = sum over k >= 1 of P(level >= k), divided by n - 1."""
        inverse_scale = torch.exp(-self.log_scale)
        total = torch.zeros_like(self.loc)
        for k in range(1, self.num_levels):  # one level at a time: all at once need n times the memory
            total += torch.sigmoid((self.loc - k / self.num_levels) * inverse_scale)
        return total / (self.num_levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.sum_over_event(self.elementwise_log_prob(value))

    def elementwise_log_prob(self, value: Tensor) -> Tensor:
        level = torch.round(value * (self.num_levels - 1))
        inverse_scale = torch.exp(-self.log_scale)
        upper = ((level + 1) / self.num_levels - self.loc) * inverse_scale
        lower = (level / self.num_levels - self.loc) * inverse_scale
        # log(F(u) - F(l)) = log F(u) + log F(-l) + log(1 - exp(l - u)): no difference of close numbers
        width = torch.exp(-self.log_scale) / self.num_levels
        inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
        log_p = torch.where(level == 0, F.logsigmoid(upper), inside)
        return torch.where(level == self.num_levels - 1, F.logsigmoid(-lower), log_p)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            shape = self.noise_shape(sample_shape)
            u = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device).clamp(1e-7, 1 - 1e-7)
            x = self.loc + self.log_scale.exp() * torch.logit(u)
            level = torch.floor(x * self.num_levels).clamp(0, self.num_levels - 1)
            return level / (self.num_levels - 1)
