"""Rows of a table: independent columns of several kinds."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape
from dgm_run.distributions.categorical import Categorical


class Codes(Categorical):
    """P(k) from a softmax for each element, over the codes k = 0 .. n - 1.

    Args:
        logits: (*batch, n, D).
    """

    def __init__(self, logits: Tensor):
        super().__init__(logits, 1)

    @property
    def mean(self) -> Tensor:
        """Likeliest code, (*batch, D), since codes have no mean."""
        return self.log_p.argmax(-2).to(self.log_p.dtype)

    def elementwise_log_prob(self, value: Tensor) -> Tensor:
        return super().elementwise_log_prob(value / (self.num_levels - 1))

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        return (super().sample(sample_shape) * (self.num_levels - 1)).round()


class Mixed(Distribution):
    """p(x) = prod_g p_g(x_g), over groups g of columns: a density in real columns, a probability in all others.

    Args:
        groups: distributions over vectors of independent elements, with one batch shape.
        order: column of each element of the groups, one group after the other, (D,).
    """

    def __init__(self, groups: Sequence[Distribution], order: Tensor):
        super().__init__(groups[0].batch_shape, torch.Size([len(order)]))
        self.groups = groups
        self.order = order
        self.inverse = order.argsort()

    @property
    def mean(self) -> Tensor:
        """Mean of each number, probability of the second value, or likeliest code, (*batch, D)."""
        return self._join([group.mean for group in self.groups])

    def log_prob(self, value: Tensor) -> Tensor:
        return self.sum_over_event(self.elementwise_log_prob(value))

    def elementwise_log_prob(self, value: Tensor) -> Tensor:
        sizes = [group.event_shape[0] for group in self.groups]
        parts = value[..., self.order].split(sizes, -1)
        return self._join([group.elementwise_log_prob(x) for group, x in zip(self.groups, parts, strict=True)])

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self._join([group.sample(sample_shape) for group in self.groups])

    def _join(self, parts: Sequence[Tensor]) -> Tensor:
        """Joins values of the groups in the order of the columns."""
        return torch.cat(list(parts), -1)[..., self.inverse]
