"""Intervals of proportions that cover the truth even where few cases or none are observed.

Sources: E. Wilson, Probable inference, the law of succession, and statistical inference, 1927; L. Brown, T. Cai,
A. DasGupta, Interval estimation for a binomial proportion, 2001, https://doi.org/10.1214/ss/1009213286.
"""

import math
from dataclasses import replace

from torch import Tensor

from dgm_run.estimators.base import Estimate
from dgm_run.estimators.intervals import NORMAL, Margin

PERCENT = "%"
SHARE = (0.0, 1.0)
"""Limits of a share."""


def wilson_interval(share: float, num: float) -> tuple[float, float]:
    """Returns Wilson's 95% interval of a probability.

    Args:
        share: share of successes.
        num: number of independent trials, not necessarily whole.
    """
    square = NORMAL**2
    centre = (share + square / (2 * num)) / (1 + square / num)
    half = NORMAL * math.sqrt(share * (1 - share) / num + square / (4 * num**2)) / (1 + square / num)
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


def bounded_interval(
    value: float, stderr: float | None, num: int, most: float = math.inf
) -> tuple[float, float]:  # fmt: skip
    """Returns a 95% interval of a number in [0, 1] that is no plain share, like an area.

    It is Wilson's interval for the number of trials that gives a share this standard error.

    Args:
        value: a number in [0, 1].
        stderr: its standard error; zero or None where all examples are alike.
        num: number of trials where there is no standard error.
        most: largest number of trials.
    """
    variance = value * (1 - value)
    return wilson_interval(value, min(most, variance / stderr**2) if stderr and variance > 0 else num)


def width_as_stderr(interval: tuple[float, float]) -> float:
    """Returns the standard error of a normal 95% interval of this width, which is never zero, unlike p (1 - p)."""
    return Margin((interval[1] - interval[0]) / 2, (interval[1] - interval[0]) / 2).stderr


def estimate_proportion(hits: Tensor, quantity: str, estimator: str, unit: str = "", **more) -> Estimate:
    """Estimates the share of hits among the examples of a split, with Wilson's interval.

    Args:
        hits: zeros and ones, (N,), in the order of the examples.
        quantity, estimator, more: fields of the `Estimate`.
        unit: "" for a share, "%" for per cent.
    """
    scale = 100 if unit == PERCENT else 1
    found = Estimate.over(scale * hits.double(), quantity, estimator, "estimate", unit=unit, **more)
    low, high = (scale * end for end in wilson_interval(found.value / scale, len(hits)))
    limits = (0.0, float(scale))
    return replace(found, interval=(low, high), stderr=width_as_stderr((low, high)), limits=limits)
