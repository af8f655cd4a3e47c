"""Distribution of two levels of variables, the second drawn given the first."""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape


class Hierarchical(Distribution):
    """log p(z) = log p(a) + log p(b | a), where z concatenates both.

    Args:
        first: p(a).
        second: maps a, (..., A), to p(b | a), batch shape (...,); it may depend on the batch of `first`.
        second_dim: dimensions of b.
        has_second_first: whether z = (b, a); otherwise z = (a, b).
    """

    has_rsample = True

    def __init__(
        self,
        first: Distribution,
        second: Callable[[Tensor], Distribution],
        second_dim: int,
        has_second_first: bool,
    ):
        super().__init__(first.batch_shape, torch.Size([second_dim + first.event_shape[0]]))
        self.first = first
        self.second = second
        self.has_second_first = has_second_first
        self.dims = [first.event_shape[0], second_dim]

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self.rsample_and_log_prob(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: SampleShape = ()) -> tuple[Tensor, Tensor]:
        a, log_a = self.first.rsample_and_log_prob(sample_shape)
        b, log_b = self.second(a).rsample_and_log_prob()
        return self._concatenate(a, b), log_a + log_b

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        a = self.first.sample(sample_shape)  # samples of some mixtures are not differentiable
        with torch.no_grad():
            return self._concatenate(a, self.second(a).sample())

    @property
    def exponential_tails(self) -> tuple[bool, ...]:
        second = (False,) * self.dims[1]  # the lower levels of all models are Gaussians or labels
        first = self.first.exponential_tails
        return second + first if self.has_second_first else first + second

    def log_prob(self, value: Tensor) -> Tensor:
        if self.has_second_first:
            b, a = value.split(self.dims[::-1], -1)
        else:
            a, b = value.split(self.dims, -1)
        return self.first.log_prob(a) + self.second(a).log_prob(b)

    def _concatenate(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([b, a] if self.has_second_first else [a, b], -1)
