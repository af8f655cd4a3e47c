"""Evaluations of one number under several seeds as one: their mean, and the error that is seen in their spread.

With R evaluations the error of computing is that of a mean of R. Student's t over them states it, or what each states
of itself, where that is larger:

- The part of a stated margin that both sides have falls with the root of R. What one side has beyond the other is taken
  for a bias, which all evaluations share, and stays.
- Examples: the square of a stated margin less that of computing, for an interval holds both. It is never less than the
  scatter over the examples has. Where the values of single examples are not known, nothing is taken off, but where the
  whole interval is that of computing.

Each rule errs to the wide side: a row does not tell an error that all examples share from one of each example, and the
latter is counted in the scatter and in the spread.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dgm_run.estimators.intervals import NO_MARGIN, Margin, combine, margin_of_mean

_DIGITS = re.compile(r"\d+(?:[.,]\d+)*(?:e[+-]?\d+)?")


class Number(NamedTuple):
    """A number and its errors, as an `Estimate` or a row of results.json states them.

    Attributes:
        value, stderr, interval, computing_interval: as of an `Estimate`.
    """

    value: float
    stderr: float | None
    interval: Sequence[float] | None
    computing_interval: Sequence[float] | None

    @property
    def margin(self) -> Margin | None:
        """Of the examples and of computing; None where no interval is stated."""
        return None if self.interval is None else Margin.from_interval(self.value, self.interval)

    @property
    def computing_margin(self) -> Margin:
        interval = self.computing_interval
        return NO_MARGIN if interval is None else Margin.from_interval(self.value, interval)


def pool(evaluations: Sequence[Number], scatter: Margin | None) -> Number:
    """Averages evaluations of one model on the same examples by independent draws.

    Args:
        evaluations: two at least.
        scatter: margin of the mean of the values of single examples, which are means over the evaluations; None where
            they are not known.
    """
    values = [each.value for each in evaluations]
    value = sum(values) / len(values)
    computing = margin_of_mean(values, [each.computing_margin for each in evaluations])
    examples = _examples_margin(evaluations, scatter)
    total = combine(examples, computing) if examples else None
    return Number(
        value,
        _stderr(evaluations, total),
        total.around(value) if total else None,
        computing.around(value) if any(computing) else None,
    )


def _examples_margin(evaluations: Sequence[Number], scatter: Margin | None) -> Margin | None:
    """Margin of the choice of the examples; None where no interval is stated."""
    margins = [each.margin for each in evaluations if each.margin is not None]
    if len(margins) < len(evaluations):
        return None
    total, computing = _mean_margin(margins), _mean_margin([each.computing_margin for each in evaluations])
    if total == computing:
        return NO_MARGIN
    return Margin(*map(_largest_rest, total, computing, scatter)) if scatter else total


def _stderr(evaluations: Sequence[Number], total: Margin | None) -> float | None:
    """The stated standard error, in the ratio in which the interval has changed: a bias is in the latter alone."""
    stated = [each.stderr for each in evaluations if each.stderr is not None]
    if len(stated) < len(evaluations):
        return None
    stderr = sum(stated) / len(stated)
    if total is None:
        return stderr
    before = _mean_margin([each.margin or NO_MARGIN for each in evaluations]).stderr
    return stderr * total.stderr / before if 0 < before < math.inf else total.stderr


def _largest_rest(total: float, computing: float, scatter: float) -> float:
    return max(scatter, math.sqrt(max(0.0, total**2 - computing**2)))


def _mean_margin(margins: Sequence[Margin]) -> Margin:
    return Margin(*(sum(sides) / len(sides) for sides in zip(*margins, strict=True)))


def merge_warnings(warnings: Iterable[str | None]) -> str | None:
    """Joins warnings; of parts that differ in their numbers alone the first stays. None where there are none."""
    parts = [part for warning in warnings if warning for part in warning.split("; ")]
    distinct: dict[str, str] = {}
    for part in parts:
        distinct.setdefault(_DIGITS.sub("", part), part)
    return "; ".join(distinct.values()) or None
