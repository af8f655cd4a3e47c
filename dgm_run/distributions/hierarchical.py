"""Two levels of variables, one drawn given the other."""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape


class Hierarchical(Distribution):
    """log p(z) = log p(a) + log p(b | a), where z holds the two side by side.

    Args:
        first: p(a).
        second: a, (..., A) -> p(b | a) with batch shape (...,); what else it depends on has the batch of `first`.
        second_dim: dimensions of b.
        second_in_front: z = (b, a); else z = (a, b).
    """

    has_rsample = True

    def __init__(
        self,
        first: Distribution,
        second: Callable[[Tensor], Distribution],
        second_dim: int,
        second_in_front: bool,
    ):
        super().__init__(first.batch_shape, torch.Size([second_dim + first.event_shape[0]]))
        self.first, self.second, self.second_in_front = first, second, second_in_front
        self.dims = [first.event_shape[0], second_dim]

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self.rsample_and_log_prob(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: SampleShape = ()) -> tuple[Tensor, Tensor]:
        a, log_a = self.first.rsample_and_log_prob(sample_shape)
        b, log_b = self.second(a).rsample_and_log_prob()
        return self._side_by_side(a, b), log_a + log_b

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        a = self.first.sample(sample_shape)  # some mixtures have samples that are not differentiable
        with torch.no_grad():
            return self._side_by_side(a, self.second(a).sample())

    @property
    def exponential_tails(self) -> tuple[bool, ...]:
        second = (False,) * self.dims[1]  # the lower levels of all models are Gaussian, or labels
        first = self.first.exponential_tails
        return second + first if self.second_in_front else first + second

    def log_prob(self, value: Tensor) -> Tensor:
        if self.second_in_front:
            b, a = value.split(self.dims[::-1], -1)
        else:
            a, b = value.split(self.dims, -1)
        return self.first.log_prob(a) + self.second(a).log_prob(b)

    def _side_by_side(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([b, a] if self.second_in_front else [a, b], -1)
