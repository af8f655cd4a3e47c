"""Grey levels as unordered categories: one softmax for each pixel."""

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape


class Categorical(Distribution):
    """P(k) from a softmax over the levels of each pixel. Values are intensities k / (n - 1).

    Args:
        logits: (*batch, n, *shape); the axis of levels precedes the pixels.
        event_dims: number of trailing dimensions that make one example.
    """

    def __init__(self, logits: Tensor, event_dims: int):
        level_axis = logits.dim() - event_dims - 1
        super().__init__(logits.shape[:level_axis], logits.shape[level_axis + 1 :])
        self.log_p = logits.log_softmax(level_axis)
        self.num_levels = logits.shape[level_axis]
        self._level_axis = level_axis

    @property
    def mean(self) -> Tensor:
        levels = torch.arange(self.num_levels, dtype=self.log_p.dtype, device=self.log_p.device)
        p = self.log_p.exp().movedim(self._level_axis, -1)  # (*batch, *shape, n)
        return torch.tensordot(p, levels, 1) / (self.num_levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.sum_over_event(self.elementwise_log_prob(value))

    def elementwise_log_prob(self, value: Tensor) -> Tensor:
        event_dims = len(self.event_shape)
        batch = torch.broadcast_shapes(value.shape[: value.dim() - event_dims], self.batch_shape)
        level = torch.round(value * (self.num_levels - 1)).long().expand(batch + self.event_shape)
        log_p = self.log_p.expand(batch + self.log_p.shape[self._level_axis :])
        axis = len(batch)
        return log_p.gather(axis, level.unsqueeze(axis)).squeeze(axis)  # (*batch, *shape)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            noise = self.log_p.new_empty(torch.Size(sample_shape) + self.log_p.shape).exponential_()
            gumbel = -noise.log()
            level = (self.log_p + gumbel).argmax(len(sample_shape) + self._level_axis)
            return level.to(self.log_p.dtype) / (self.num_levels - 1)
