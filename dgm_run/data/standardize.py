"""Standardisation of real values by mean and standard deviation of the training split."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Standardization:
    """Affine map x -> (x - mean) / scale, in double precision.

    Its log-determinant converts the log-density of standardised values to that of the data.

    Args:
        mean: mean of each element, (*shape).
        scale: scale of each element, (*shape), positive.
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, batches: Callable[[], Iterable[Tensor]], mode: Literal["columns", "global"]) -> "Standardization":
        """Fits mean and standard deviation to training examples, which are centred before they are squared.

        A column without variance, or without observed values, keeps the scale 1.

        Args:
            batches: yields all examples, (B, *shape) at a time; called twice. NaN is ignored.
            mode: columns (every element has its own scale) | global (one scale, of the mean variance, for all).
                Every element has its own mean.
        """
        total = torch.zeros((), dtype=torch.float64)
        count = torch.zeros((), dtype=torch.float64)
        low = torch.tensor(math.inf, dtype=torch.float64)
        high = torch.tensor(-math.inf, dtype=torch.float64)
        for x in batches():
            x = x.double()
            total = total + x.nansum(0)
            count = count + (~x.isnan()).sum(0)
            low = torch.minimum(low, x.nan_to_num(math.inf).amin(0))
            high = torch.maximum(high, x.nan_to_num(-math.inf).amax(0))
        mean = total / count.clamp(min=1)
        squares = sum((x.double() - mean).square().nansum(0) for x in batches())
        # the comparison is exact, because rounding gives a constant column a tiny variance
        variance = torch.where(high > low, squares / count.clamp(min=1), 0.0)
        scale = variance.mean().expand_as(variance).sqrt() if mode == "global" else variance.sqrt()
        return cls(mean, torch.where(scale > 0, scale, 1.0))

    def __call__(self, x: Tensor) -> Tensor:
        """Standardises examples, (B, *shape), in double precision."""
        return (x.double() - self.mean.to(x.device)) / self.scale.to(x.device)

    def restore(self, x: Tensor) -> Tensor:
        """Returns examples in the units of the data, in double precision."""
        return x.double() * self.scale.to(x.device) + self.mean.to(x.device)

    def log_det(self, missing: Tensor | None = None) -> Tensor:
        """Computes the log-determinant of the map over the observed elements of an example, nats, on the CPU.

        Args:
            missing: mask of missing elements, (N, ...); None if no element is missing.

        Returns:
            (N,), or a scalar if nothing is missing; in double precision.
        """
        log_scale = -self.scale.log()
        return log_scale.sum() if missing is None else (log_scale * ~missing.cpu()).flatten(1).sum(1)

    def state(self) -> dict[str, Any]:
        """Returns mean and scale as lists, for a JSON file."""
        return {"mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Standardization":
        """Makes a standardisation from the output of `state`."""
        mean = torch.tensor(state["mean"], dtype=torch.float64)
        scale = torch.tensor(state["scale"], dtype=torch.float64)
        return cls(mean, scale)
