"""Pooling of evaluations of one number under several seeds: their mean and its errors.

The pooled error of computing is that of a mean of R evaluations. The stated errors give it, or the spread of the
evaluations where that contradicts them (`intervals.margin_of_mean`):

- The part that both sides of a stated margin share falls with the root of R. The excess of one side counts as a bias,
  which all evaluations share, and stays.
- Where no error of computing is stated, and the intervals explain the spread, they hold that error. They stay as they
  are.
- The margin of the examples is the root of the square of a stated margin less that of computing: an interval holds
  both. It is never less than the margin of the scatter over the examples. Where the values of single examples are not
  known, the stated margin stays whole, unless computing is all of it.

Each rule errs to the wide side. A row does not separate an error that all examples share from an independent one of
each example. The latter counts both in the scatter and in the spread.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dgm_run.estimators.intervals import NO_MARGIN, Margin, combine, contradicts, margin_of_mean

_DIGITS = re.compile(r"\d+(?:[.,]\d+)*(?:e[+-]?\d+)?")


class Number(NamedTuple):
    """A number and its errors, as an `Estimate` or a row of results.json states them.

    Attributes:
        value, stderr, interval, computing_interval: fields of an `Estimate`.
    """

    value: float
    stderr: float | None
    interval: Sequence[float] | None
    computing_interval: Sequence[float] | None

    @property
    def margin(self) -> Margin | None:
        """Margin of the examples and of computing; None where no interval is stated."""
        return None if self.interval is None else Margin.from_interval(self.value, self.interval)

    @property
    def computing_margin(self) -> Margin:
        interval = self.computing_interval
        return NO_MARGIN if interval is None else Margin.from_interval(self.value, interval)


def pool(evaluations: Sequence[Number], scatter: Margin | None) -> Number:
    """Averages evaluations of one model on the same examples by independent draws.

    Args:
        evaluations: two at least.
        scatter: margin of the mean over the examples of their values averaged over the evaluations; None where these
            values are not known.
    """
    values = [each.value for each in evaluations]
    value = sum(values) / len(values)
    computing = _computing_margin(evaluations)
    total = _total_margin(evaluations, scatter, computing)
    return Number(
        value,
        _stderr(evaluations, total),
        total.around(value) if total else None,
        computing.around(value) if any(computing) else None,
    )


def _computing_margin(evaluations: Sequence[Number]) -> Margin:
    """Returns the margin of computing: the stated one, else that of the spread, bounded by the whole stated error."""
    values = [each.value for each in evaluations]
    seen = margin_of_mean(values, [each.computing_margin for each in evaluations])
    if not _holds_spread(evaluations):
        return seen
    return Margin(*map(min, seen, margin_of_mean(values, _margins(evaluations))))


def _total_margin(evaluations: Sequence[Number], scatter: Margin | None, computing: Margin) -> Margin | None:
    """Returns the margin of examples and computing together; None where no interval is stated."""
    margins = _margins(evaluations)
    if len(margins) < len(evaluations):
        return None
    total = _mean_margin(margins)
    stated = _mean_margin([each.computing_margin for each in evaluations])
    if total == stated:  # computing is the only error
        return computing
    if _holds_spread(evaluations):
        return Margin(*map(max, total, scatter)) if scatter else total
    examples = Margin(*map(_largest_rest, total, stated, scatter)) if scatter else total
    return combine(examples, computing)


def _holds_spread(evaluations: Sequence[Number]) -> bool:
    """Tells whether the intervals hold an unstated error of computing: none is stated, and they explain the spread."""
    margins = _margins(evaluations)
    is_stated = any(each.computing_interval for each in evaluations) or len(margins) < len(evaluations)
    return not is_stated and not contradicts([each.value for each in evaluations], margins)


def _margins(evaluations: Sequence[Number]) -> list[Margin]:
    return [each.margin for each in evaluations if each.margin is not None]


def _stderr(evaluations: Sequence[Number], total: Margin | None) -> float | None:
    """Scales the stated standard error by the ratio of the pooled to the stated interval; the interval has the bias."""
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
    """Joins warnings and keeps the first of parts that differ in their numbers alone; None where there are none."""
    parts = [part for warning in warnings if warning for part in warning.split("; ")]
    distinct: dict[str, str] = {}
    for part in parts:
        distinct.setdefault(_DIGITS.sub("", part), part)
    return "; ".join(distinct.values()) or None
