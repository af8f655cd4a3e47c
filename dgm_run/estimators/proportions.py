"""Intervals of proportions that cover the truth even where few cases or none are observed.

Sources: E. Wilson, Probable inference, the law of succession, and statistical inference, 1927; L. Brown, T. Cai,
A. DasGupta, Interval estimation for a binomial proportion, 2001, https://doi.org/10.1214/ss/1009213286.
"""

import math
from dataclasses import replace

from torch import Tensor

from dgm_run.estimators.base import Estimate
from dgm_run.estimators.intervals import NORMAL_QUANTILE, Margin

PERCENT = "%"
SHARE_LIMITS = (0.0, 1.0)
"""Limits of a share."""


def wilson_interval(share: float, num: float) -> tuple[float, float]:
    """Returns Wilson's 95% interval of a probability.

    Args:
        share: share of successes.
        num: number of independent trials, not necessarily whole.
    """
    square = NORMAL_QUANTILE**2
    centre = (share + square / (2 * num)) / (1 + square / num)
    half = NORMAL_QUANTILE * math.sqrt(share * (1 - share) / num + square / (4 * num**2)) / (1 + square / num)
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


def bounded_interval(
    value: float, stderr: float | None, num: int, max_num: float = math.inf
) -> tuple[float, float]:  # fmt: skip
    """Returns a 95% interval of a number in [0, 1] other than a share, such as an area under a curve.

    It is Wilson's interval for the number of trials that gives a share this standard error.

    Args:
        value: a number in [0, 1].
        stderr: its standard error; zero or None where all examples are alike.
        num: number of trials where there is no standard error.
        max_num: largest number of trials.
    """
    variance = value * (1 - value)
    num_trials = min(max_num, variance / stderr**2) if stderr and variance > 0 else num
    return wilson_interval(value, num_trials)


def width_as_stderr(interval: tuple[float, float]) -> float:
    """Returns the standard error of a normal 95% interval of this width, which is never zero, unlike p (1 - p)."""
    half = (interval[1] - interval[0]) / 2
    return Margin(half, half).stderr


def estimate_proportion(hits: Tensor, quantity: str, estimator: str, unit: str = "", **more) -> Estimate:
    """Estimates the share of hits among the examples of a split, with Wilson's interval.

    Args:
        hits: zeros and ones, (N,), in the order of the examples.
        quantity, estimator, more: fields of the `Estimate`.
        unit: "" for a share, "%" for per cent.
    """
    scale = 100 if unit == PERCENT else 1
    estimate = Estimate.over(scale * hits.double(), quantity, estimator, "estimate", unit=unit, **more)
    low, high = wilson_interval(estimate.value / scale, len(hits))
    interval = (scale * low, scale * high)
    return replace(estimate, interval=interval, stderr=width_as_stderr(interval), limits=(0.0, float(scale)))
