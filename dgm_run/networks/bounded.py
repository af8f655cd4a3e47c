"""Numbers that stay within an interval, or above a floor."""

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


def with_floor(log_value: Tensor, log_floor: float | Tensor) -> Tensor:
    """The log of a positive number and a floor under it: of their sum, as at a clamp the gradient would end."""
    floor = log_floor if isinstance(log_floor, Tensor) else torch.full_like(log_value, log_floor)
    return torch.logaddexp(log_value, floor.to(log_value.dtype))


def check_floor(min_scale: float, relative_min_scale: float) -> None:
    """Raises a ValueError where the two parts of `noise_floor` make no sense."""
    if not (0 <= min_scale < float("inf") and 0 <= relative_min_scale < 1):
        raise ValueError(
            f"min_scale = {min_scale} must not be negative, and relative_min_scale = {relative_min_scale} must lie "
            "between 0 and 1"
        )


def column_variance(x: Tensor) -> Tensor:
    """Returns the variance of each column of examples, (B, *shape) -> (D,), in double precision.

    It squares differences to the first example. So a mean far from zero cancels nothing, and the variance of a
    constant column is exactly zero.
    """
    x = x.flatten(1)
    return (x - x[0]).double().var(0, correction=0)


def noise_floor(variance: Tensor, min_scale: float, relative_min_scale: float) -> Tensor:
    """Returns the least standard deviation of the noise of each column: min_scale + relative_min_scale * its own.

    A constant column has no scale of its own: it takes the root mean variance of the columns that vary.

    Args:
        variance: of the columns over the training examples, (D,).
        min_scale: the absolute part, in the units of the data.
        relative_min_scale: the relative part.

    Returns:
        (D,), positive unless both parts are zero.

    Raises:
        ValueError: no column varies, and there is no absolute part.
    """
    varies = variance > 0
    if relative_min_scale > 0 and min_scale == 0 and not bool(varies.any()):
        raise ValueError(
            "all training examples are equal, so that relative_min_scale is relative to nothing: set the min_scale of "
            "the model or of the likelihood, as model.min_scale=0.1 or likelihood.min_scale=0.1"
        )
    typical = variance.sum() / varies.sum().clamp(min=1)
    return min_scale + relative_min_scale * torch.where(varies, variance, typical).sqrt()


def describe_floor(num: int, total: int, min_scale: float, relative_min_scale: float) -> str | None:
    """Says how many of `total` scales of noise are at their floor; None for none of them."""
    if not num:
        return None
    of = f"{num} of {total} columns" if total > 1 else "all columns"
    parts = {"min_scale": min_scale, "relative_min_scale": relative_min_scale}
    settings = ", ".join(f"{name}={value:g}" for name, value in parts.items() if value)
    return f"the noise of {of} is at its floor, on which the likelihood depends ({settings})"


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
        self.middle, self.half_width = (low + high) / 2, (high - low) / 2
        start = (start - self.middle) / self.half_width
        self.raw = nn.Parameter(self.half_width * torch.atanh(torch.where(start.abs() < 1, start, 0.0)))

    def forward(self) -> Tensor:
        # in the middle it moves as fast as a free one
        return self.middle + self.half_width * torch.tanh(self.raw / self.half_width)
