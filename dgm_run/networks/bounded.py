"""Numbers that stay within an interval."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def interval(bounds: Sequence[float], name: str = "log_var_range") -> tuple[float, float]:
    """The two ends.

    Raises:
        ValueError: they are not two finite numbers in ascending order.
    """
    if len(bounds) != 2 or not float("-inf") < bounds[0] < bounds[1] < float("inf"):
        raise ValueError(f"{name} = {list(bounds)} must be two finite numbers, the smaller one first")
    return float(bounds[0]), float(bounds[1])


def with_floor(log_value: Tensor, log_floor: float) -> Tensor:
    """The log of a positive number and a floor under it: of their sum, as at a clamp the gradient would end."""
    return torch.logaddexp(log_value, torch.full_like(log_value, log_floor))


class BoundedParameter(nn.Module):
    """A free parameter within an interval, which it approaches and never reaches.

    A clamp would do where a network gives the number, which changes with x; a parameter that has once left the
    interval would get no gradient again.

    Args:
        start: where it starts; what lies outside starts in the middle.
        bounds: the ends of the interval.
        name: of the setting that names them, for messages.
    """

    def __init__(self, start: Tensor, bounds: Sequence[float], name: str = "log_var_range"):
        super().__init__()
        low, high = interval(bounds, name)
        self.middle, self.half = (low + high) / 2, (high - low) / 2
        start = (start - self.middle) / self.half
        self.raw = nn.Parameter(self.half * torch.atanh(torch.where(start.abs() < 1, start, 0.0)))

    def forward(self) -> Tensor:
        # in the middle it moves as fast as a free one
        return self.middle + self.half * torch.tanh(self.raw / self.half)
