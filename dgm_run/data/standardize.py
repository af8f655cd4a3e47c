"""The units in which a model sees real values: their own, or standard deviations of the training split."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

Mode = Literal["none", "columns", "global"]


@dataclass(frozen=True)
class Standardization:
    """The affine map x -> (x - mean) / scale, in double precision.

    A density of standardised values is one of the data once the log-determinant is added.

    Args:
        mean: (*shape).
        scale: (*shape), positive.
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, batches: Callable[[], Iterable[Tensor]], mode: Literal["columns", "global"]) -> "Standardization":
        """Takes mean and standard deviation of training examples, centred before they are squared.

        Args:
            batches: gives all examples, (B, *shape) at a time, in two passes. NaN is left out.
            mode: columns (every element has its own scale) | global (one scale, of the mean variance, for all).
                Every element has its own mean.

        A column without variance, and one that is never observed, keeps the scale 1.
        """
        total, count, low, high = (torch.tensor(value, dtype=torch.float64) for value in (0, 0, math.inf, -math.inf))
        for x in batches():
            x = x.double()
            total = total + x.nansum(0)
            count = count + (~x.isnan()).sum(0)
            low = torch.minimum(low, x.nan_to_num(math.inf).amin(0))
            high = torch.maximum(high, x.nan_to_num(-math.inf).amax(0))
        mean = total / count.clamp(min=1)
        squares = sum((x.double() - mean).square().nansum(0) for x in batches())
        # exact comparison: rounding gives a constant column a tiny variance
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
        """Log-determinant of the map over the observed elements of an example, nats, on the CPU.

        Args:
            missing: True where an element is not observed, (N, ...); None for nowhere.

        Returns:
            (N,), or a scalar where nothing is missing; in double precision.
        """
        log_scale = -self.scale.log()
        return log_scale.sum() if missing is None else (log_scale * ~missing.cpu()).flatten(1).sum(1)

    def state(self) -> dict[str, Any]:
        """Mean and scale as lists, for a JSON file."""
        return {"mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> "Standardization":
        """Reads what `state` returned."""
        mean, scale = (torch.tensor(state[name], dtype=torch.float64) for name in ("mean", "scale"))
        return cls(mean, scale)
