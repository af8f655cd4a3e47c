"""Mixtures sum_k w_k p_k(z) of a batch of densities."""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape


class Mixture(Distribution):
    """Finite mixture of a batch of densities over vectors.

    Args:
        components: batch shape (K,).
        log_weights: (K,), normalised.
    """

    def __init__(self, components: Distribution, log_weights: Tensor):
        super().__init__(torch.Size(), components.event_shape)
        self.components = components
        self.log_weights = log_weights

    @property
    def mean(self) -> Tensor:
        return torch.tensordot(self.log_weights.exp(), self.components.mean, 1)

    @property
    def exponential_tails(self) -> tuple[bool, ...]:
        return self.components.exponential_tails

    def log_prob(self, value: Tensor) -> Tensor:
        return (self.components.pairwise_log_prob(value) + self.log_weights).logsumexp(-1)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draws a component for every sample, then draws from it: (*sample, *event)."""
        with torch.no_grad():
            num_samples = torch.Size(sample_shape).numel()
            chosen = torch.multinomial(self.log_weights.exp(), num_samples, replacement=True)
            draws = self.components.select(chosen).sample()  # (N, *event)
            return draws.view(torch.Size(sample_shape) + self.event_shape)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Mixture":
        return Mixture(self.components.map(function), function(self.log_weights))
