"""Two levels of variables, the lower one given the upper one."""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution


class Hierarchical(Distribution):
    """log p(z) = log p(u) + log p(l | u) of z = (l, u), the lower level in front.

    Args:
        upper: p(u).
        lower: u, (..., U) -> p(l | u) with batch shape (...,); what else it depends on has the batch of `upper`.
        lower_dim: dimensions of l.
    """

    has_rsample = True

    def __init__(self, upper: Distribution, lower: Callable[[Tensor], Distribution], lower_dim: int):
        super().__init__(upper.batch_shape, torch.Size([lower_dim + upper.event_shape[0]]))
        self.upper, self.lower, self.lower_dim = upper, lower, lower_dim

    def rsample(self, sample_shape: torch.Size | tuple = ()) -> Tensor:
        return self.rsample_and_log_prob(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: torch.Size | tuple = ()) -> tuple[Tensor, Tensor]:
        u, log_upper = self.upper.rsample_and_log_prob(sample_shape)
        z, log_lower = self.lower(u).rsample_and_log_prob()
        return torch.cat([z, u], -1), log_upper + log_lower

    def sample(self, sample_shape: torch.Size | tuple = ()) -> Tensor:
        u = self.upper.sample(sample_shape)  # some mixtures have samples that are not differentiable
        with torch.no_grad():
            return torch.cat([self.lower(u).sample(), u], -1)

    def log_prob(self, value: Tensor) -> Tensor:
        z, u = value[..., : self.lower_dim], value[..., self.lower_dim :]
        return self.upper.log_prob(u) + self.lower(u).log_prob(z)
