"""Numbers within an interval, and noise scales with a floor."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def check_interval(bounds: Sequence[float], name: str = "log_var_range") -> tuple[float, float]:
    """Checks an interval and returns its two ends.

    Raises:
        ValueError: `bounds` are not two finite numbers in ascending order.
    """
    if len(bounds) != 2 or not float("-inf") < bounds[0] < bounds[1] < float("inf"):
        raise ValueError(f"{name} = {list(bounds)} must be two finite numbers, the smaller one first")
    return float(bounds[0]), float(bounds[1])


def add_floor(log_value: Tensor, log_floor: float | Tensor) -> Tensor:
    """Computes log(value + floor), (*shape), from the two logs. A clamp would stop the gradient at the floor."""
    floor = log_floor if isinstance(log_floor, Tensor) else torch.full_like(log_value, log_floor)
    return torch.logaddexp(log_value, floor.to(log_value.dtype))


def check_floor(min_scale: float, relative_min_scale: float) -> None:
    """Checks the two parts of `noise_floor`.

    Raises:
        ValueError: a part lies outside its range.
    """
    if not (0 <= min_scale < float("inf") and 0 <= relative_min_scale < 1):
        raise ValueError(
            f"min_scale = {min_scale} must not be negative, and relative_min_scale = {relative_min_scale} must lie "
            "between 0 and 1"
        )


def column_variance(x: Tensor) -> Tensor:
    """Computes the variance of each column of examples, (B, *shape) -> (D,), in double precision.

    It squares differences from the first example. So a mean far from zero cancels nothing, and the variance of a
    constant column is exactly zero.
    """
    x = x.flatten(1)
    return (x - x[0]).double().var(0, correction=0)


def noise_floor(variance: Tensor, min_scale: float, relative_min_scale: float) -> Tensor:
    """Computes min_scale + relative_min_scale * (standard deviation of the column), the least noise of each column.

    A constant column takes the root mean variance of the varying columns in place of its own scale.

    Args:
        variance: variance of each column over the training examples, (D,).
        min_scale: absolute part, in the units of the data.
        relative_min_scale: relative part.

    Returns:
        (D,), positive unless both parts are zero.

    Raises:
        ValueError: no column varies, and there is no absolute part.
    """
    is_varying = variance > 0
    if relative_min_scale > 0 and min_scale == 0 and not bool(is_varying.any()):
        raise ValueError(
            "all training examples are equal, so relative_min_scale times their scale is zero: set an absolute floor, "
            "as model.min_scale=0.1 or likelihood.min_scale=0.1"
        )
    mean_variance = variance.sum() / is_varying.sum().clamp(min=1)
    return min_scale + relative_min_scale * torch.where(is_varying, variance, mean_variance).sqrt()


def describe_floor(num: int, total: int, min_scale: float, relative_min_scale: float) -> str | None:
    """Describes the floor that `num` of `total` noise scales have reached; returns None where `num` is 0."""
    if not num:
        return None
    columns = f"{num} of {total} columns" if total > 1 else "all columns"
    parts = {"min_scale": min_scale, "relative_min_scale": relative_min_scale}
    settings = ", ".join(f"{name}={value:g}" for name, value in parts.items() if value)
    return f"the noise of {columns} is at its floor, on which the likelihood depends ({settings})"


class BoundedParameter(nn.Module):
    """Free parameter within an open interval.

    A clamp suffices for the output of a network, which changes with x. A clamped parameter outside the interval would
    receive no gradient again.

    Args:
        start: initial values; values outside the interval start in its middle.
        bounds: ends of the interval.
        name: setting that gives the bounds, for messages.
    """

    def __init__(self, start: Tensor, bounds: Sequence[float], name: str = "log_var_range"):
        super().__init__()
        low, high = check_interval(bounds, name)
        self.middle = (low + high) / 2
        self.half_width = (high - low) / 2
        start = (start - self.middle) / self.half_width
        self.raw = nn.Parameter(self.half_width * torch.atanh(torch.where(start.abs() < 1, start, 0.0)))

    def forward(self) -> Tensor:
        # slope one in the middle, so that learning rates mean the same as for a free parameter
        return self.middle + self.half_width * torch.tanh(self.raw / self.half_width)
