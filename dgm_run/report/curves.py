"""Learning curves of runs: their collection, and the range and ticks of their axes."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from dgm_run.report.groups import Group, name_groups
from dgm_run.report.runs import Run

OUTLIER_FACTOR = 10
"""Distance from the median, in units of the usual distance, beyond which a number is drawn at the edge."""
NUM_TICKS = 5
"""Usual number of ticks of an axis."""


class Line(NamedTuple):
    """A curve.

    Attributes:
        name: its name in the legend.
        x, y: its points.
        about: all settings of its run, by which a filter finds it.
    """

    name: str
    x: list[float]
    y: list[float]
    about: str = ""


def collect_curves(groups: Sequence[Group]) -> dict[tuple[str, str], list[Line]]:
    """Returns the curves of the monitored value of all runs, by its name and the data set.

    Curves of one configuration have one name, of the settings by which the configurations of a chart differ.
    """
    members: dict[tuple[str, str], list[tuple[Group, Run]]] = {}
    for group in groups:
        for run in group.runs:
            monitor = run.results["training"]["monitor"]
            if len(run.curves.get(monitor, ((),))[0]) > 1:
                members.setdefault((monitor, run.results["dataset"]), []).append((group, run))
    charts = {}
    for (monitor, data), pairs in members.items():
        names = name_groups([group for group, _ in pairs])
        charts[monitor, data] = [
            Line(name, *run.curves[monitor], about=group.name) for name, (group, run) in zip(names, pairs, strict=True)
        ]
    return charts


def choose_range(curves: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Returns a range from the early values of most curves to the best value; outliers do not flatten the others."""
    lows = sorted(sorted(y)[len(y) // 20] for y in curves)
    highs = sorted(max(y) for y in curves)
    median_low = lows[len(lows) // 2]
    median_high = highs[len(highs) // 2]
    high = highs[-1]
    if high - median_high > OUTLIER_FACTOR * (median_high - median_low):
        high = median_high
    low = max(lows[0], median_low - 2 * (high - median_low))
    if high > low:
        return low, high
    margin = 0.1 * abs(low) or 0.5  # of a constant, such as a learning rate
    return low - margin, low + margin


def choose_ticks(low: float, high: float) -> list[float]:
    """Returns round numbers from `low` to `high`, in steps of 1, 2 or 5 times a power of ten."""
    size = (high - low) / NUM_TICKS
    power = 10.0 ** math.floor(math.log10(size))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= size)
    return [step * i for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def format_ticks(ticks: Sequence[float]) -> list[str]:
    """Formats ticks with the decimals of their step; large or small ones have an exponent."""
    step = min((b - a for a, b in itertools.pairwise(ticks)), default=1.0)
    largest = max(map(abs, ticks), default=0.0)
    if largest >= 1e6 or step < 1e-4:
        return [f"{tick:.6g}" for tick in ticks]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{tick:.{decimals}f}" for tick in ticks]
