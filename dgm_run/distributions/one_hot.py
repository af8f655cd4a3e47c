"""Categorical distribution over one-hot vectors."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape


class OneHot(Distribution):
    """P(k) from a softmax, with one-hot vectors as events.

    Args:
        logits: (*batch, C).
    """

    def __init__(self, logits: Tensor):
        super().__init__(logits.shape[:-1], logits.shape[-1:])
        self.log_p = logits.log_softmax(-1)

    @property
    def mean(self) -> Tensor:
        return self.log_p.exp()

    def entropy(self) -> Tensor:
        """Computes the entropy, (*batch,), nats."""
        return -(self.log_p.exp() * self.log_p).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        return (value * self.log_p).sum(-1)

    def rsample_and_log_prob(self, sample_shape: SampleShape = ()) -> tuple[Tensor, Tensor]:
        """Draws samples without a gradient, and their log probability with one."""
        y = self.sample(sample_shape)
        return y, self.log_prob(y)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            noise = self.log_p.new_empty(self.noise_shape(sample_shape)).exponential_()
            chosen = (self.log_p - noise.log()).argmax(-1)
            return F.one_hot(chosen, self.event_shape[0]).to(self.log_p.dtype)

    def map(self, function: Callable[[Tensor], Tensor]) -> "OneHot":
        return OneHot(function(self.log_p))
