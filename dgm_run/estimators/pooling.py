"""Pooling of evaluations of one number under several seeds: their mean and its errors.

An error has two sources: the choice of examples, and computing, which means the draws of the estimator. The pooled
error of computing is that of a mean of R evaluations. It follows from the stated errors, or from the spread of the
evaluations where the spread contradicts them (`intervals.margin_of_mean`):

- The symmetric part of a stated margin falls with the root of R. The excess of one side counts as a bias, which all
  evaluations share, and stays.
- If no error of computing is stated, and the intervals explain the spread, then the intervals include that error. They
  stay as they are.
- An interval includes both sources. So the squared margin of the examples is the squared stated margin less that of
  computing. It is at least the margin of the scatter over the examples. Where the values of single examples are not
  known, the stated margin stays whole, unless computing is its only source.

Each rule errs to the wide side. A row does not separate an error that all examples share from an independent one of
each example. The latter counts twice, in the scatter and in the spread.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dgm_run.errors import join_warnings
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
        _scale_stderr(evaluations, total),
        total.around(value) if total else None,
        computing.around(value) if any(computing) else None,
    )


def _computing_margin(evaluations: Sequence[Number]) -> Margin:
    """Returns the margin of computing: the stated one, else that of the spread, bounded by the whole stated error."""
    values = [each.value for each in evaluations]
    margin = margin_of_mean(values, [each.computing_margin for each in evaluations])
    if not _includes_computing(evaluations):
        return margin
    whole = margin_of_mean(values, _margins(evaluations))
    return Margin(min(margin.below, whole.below), min(margin.above, whole.above))


def _total_margin(evaluations: Sequence[Number], scatter: Margin | None, computing: Margin) -> Margin | None:
    """Returns the margin of examples and computing together; None where no interval is stated."""
    margins = _margins(evaluations)
    if len(margins) < len(evaluations):
        return None
    total = _mean_margin(margins)
    stated = _mean_margin([each.computing_margin for each in evaluations])
    if total == stated:  # computing is the only error
        return computing
    if not scatter:
        return total if _includes_computing(evaluations) else combine(total, computing)
    if _includes_computing(evaluations):
        return Margin(max(total.below, scatter.below), max(total.above, scatter.above))
    below = _subtract_computing(total.below, stated.below, scatter.below)
    above = _subtract_computing(total.above, stated.above, scatter.above)
    return combine(Margin(below, above), computing)


def _includes_computing(evaluations: Sequence[Number]) -> bool:
    """Returns whether the intervals include an error of computing that is not stated, and explain the spread."""
    margins = _margins(evaluations)
    is_stated = any(each.computing_interval for each in evaluations) or len(margins) < len(evaluations)
    return not is_stated and not contradicts([each.value for each in evaluations], margins)


def _margins(evaluations: Sequence[Number]) -> list[Margin]:
    return [each.margin for each in evaluations if each.margin is not None]


def _scale_stderr(evaluations: Sequence[Number], total: Margin | None) -> float | None:
    """Scales the stated standard error by the ratio of the pooled to the stated interval."""
    stated = [each.stderr for each in evaluations if each.stderr is not None]
    if len(stated) < len(evaluations):
        return None
    stderr = sum(stated) / len(stated)
    if total is None:
        return stderr
    before = _mean_margin([each.margin or NO_MARGIN for each in evaluations]).stderr
    return stderr * total.stderr / before if 0 < before < math.inf else total.stderr


def _subtract_computing(total: float, computing: float, scatter: float) -> float:
    """Returns the margin of the examples, on one side: total less computing in squares, but at least the scatter."""
    return max(scatter, math.sqrt(max(0.0, total**2 - computing**2)))


def _mean_margin(margins: Sequence[Margin]) -> Margin:
    below = sum(each.below for each in margins) / len(margins)
    above = sum(each.above for each in margins) / len(margins)
    return Margin(below, above)


def merge_warnings(warnings: Iterable[str | None]) -> str | None:
    """Joins the lines of all warnings, and keeps one of those that differ only in numbers; None without warnings."""
    parts = [part for warning in warnings if warning for part in warning.splitlines()]
    distinct: dict[str, str] = {}
    for part in parts:
        distinct.setdefault(_DIGITS.sub("", part), part)
    return join_warnings(*distinct.values())
