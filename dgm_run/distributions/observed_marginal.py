"""Distributions of independent elements with missing values (NaN)."""

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape


class ObservedMarginal(Distribution):
    """Marginal p(x_o | z) over the observed elements of p(x | z); x is NaN at the others.

    Args:
        p: density of independent elements.

    Raises:
        NotImplementedError: the elements are not independent.
    """

    def __init__(self, p: Distribution):
        super().__init__(p.batch_shape, p.event_shape)
        self.p = _check_independent(p)

    @property
    def mean(self) -> Tensor:
        return self.p.mean

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draws complete examples, without missing values."""
        return self.p.sample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        missing = value.isnan()
        log_p = self.p.elementwise_log_prob(value.masked_fill(missing, 0.0))
        return self.sum_over_event(log_p.masked_fill(missing, 0.0))


class ConditionalCompletion(Distribution):
    """p(x | x_o, z): observed elements keep their values, and p(x | z) gives the elements that are NaN.

    Args:
        p: p(x | z), a density of independent elements.
        observed: x_o, (*batch, *event), NaN at the missing elements.

    Raises:
        NotImplementedError: the elements of p are not independent.
    """

    def __init__(self, p: Distribution, observed: Tensor):
        super().__init__(p.batch_shape, p.event_shape)
        self.p = _check_independent(p)
        self.observed = observed

    @property
    def mean(self) -> Tensor:
        return self._restore_observed(self.p.mean)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self._restore_observed(self.p.sample(sample_shape))

    def _restore_observed(self, x: Tensor) -> Tensor:
        return torch.where(self.observed.isnan(), x, self.observed)


def _check_independent(p: Distribution) -> Distribution:
    if type(p).elementwise_log_prob is Distribution.elementwise_log_prob:
        raise NotImplementedError(
            f"the elements of {type(p).__name__} are not independent: choose decoder=mlp, conv or resnet"
        )
    return p
