"""Expansion of one density to a batch."""

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape


class BatchExpanded(Distribution):
    """Density p(z) of batch shape (), expanded to the batch shape (B,).

    Args:
        p: the density.
        num: B.
    """

    has_rsample = True

    def __init__(self, p: Distribution, num: int):
        super().__init__(torch.Size([num]), p.event_shape)
        self.p = p
        self.num = num
        self.proposal_settings = {"proposal": "prior"}

    @property
    def mean(self) -> Tensor:
        return self.p.mean.expand(self.num, *self.event_shape)

    @property
    def exponential_tails(self) -> tuple[bool, ...]:
        return self.p.exponential_tails

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self.p.rsample((*sample_shape, self.num))

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self.p.sample((*sample_shape, self.num))

    def log_prob(self, value: Tensor) -> Tensor:
        return self.p.log_prob(value)
