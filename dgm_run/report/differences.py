"""Differences of rows of a table, with intervals that hold for all pairs of rows together.

A table in which every row has one run compares trained models, over all test examples that could have been drawn: its
intervals hold the scatter over the examples and the error of computing. A table in which rows have several runs
compares configurations: its intervals hold the spread over runs, and the scatter over the examples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from dgm_run.estimators.intervals import LEVEL, NO_MARGIN, Margin, combine, student_quantile
from dgm_run.report.groups import seeds
from dgm_run.report.rows import Compared, Difference, Row, digits


class Spread(NamedTuple):
    """Variance over the runs of a configuration, which all configurations of a table are taken to share.

    Attributes:
        variance: pooled over the rows with several runs.
        freedom: degrees of freedom of the variance.
        num_rows: how many rows have several runs.
    """

    variance: float
    freedom: int
    num_rows: int


def add_differences(rows: Sequence[Row], of_one_run: bool = False) -> list[Row]:
    """Returns the rows of one table with the difference of each to the first.

    Bonferroni's level over all pairs of rows: the first row is the best of many.

    Args:
        rows: the best first.
        of_one_run: whether they are evaluations of one run, on the same examples.
    """
    level = 1 - (1 - LEVEL) / max(1, math.comb(len(rows), 2))
    first, spread = rows[0], _pool(rows)
    compared: Compared = "evaluation" if of_one_run else "configuration" if spread else "trained model"

    def subtract(row: Row) -> Difference | str:
        if not (math.isfinite(row.mean) and math.isfinite(first.mean)):
            return "not finite"
        if spread:
            return _subtract_means(row, first, level, spread)
        return _subtract_models(row, first, level, of_one_run)

    return [replace(row, compared=compared, difference="" if row is first else subtract(row)) for row in rows]


def _pool(rows: Sequence[Row]) -> Spread | None:
    several = [row for row in rows if row.has_several_runs and math.isfinite(row.mean)]
    freedom = sum(len(row.values) - 1 for row in several)
    squares = sum((len(row.values) - 1) * row.variance for row in several)
    return Spread(squares / freedom, freedom, len(several)) if several else None


def _subtract_models(row: Row, first: Row, level: float, of_one_run: bool) -> Difference | str:
    """Difference of two runs: paired over the examples, else from the intervals of both numbers.

    Two evaluations of one run differ by the errors of computing alone, where these are stated. The scatter over the
    examples of such a difference is that of computing once more.
    """
    estimates = _single(row, first)
    if of_one_run and all(each.get("computing_interval") for each in estimates):
        return _interval(row, first, _computing_of_both(row, first, level), "computing")
    if examples := _scatter(row, first, level):
        computing = _computing_of_both(row, first, level)
        over = f"{examples.num} examples" + (" and computing" if any(computing) else "")
        return _interval(row, first, combine(examples.margin, computing), over)
    ours, theirs = (_stated(each, "interval", level, each["num_examples"] - 1) for each in estimates)
    if ours is None or theirs is None:
        return "not paired: no values of single examples, and no intervals"
    return _interval(row, first, combine(ours, theirs.scale(-1)), "unpaired")


def _subtract_means(row: Row, first: Row, level: float, spread: Spread) -> Difference | str:
    """Difference of two configurations: the error of the means over runs, the scatter over examples.

    The spread over runs holds the error of computing; a single run has its own beside the spread of other rows.
    """
    stderr, freedom, over = _stderr_of_runs(row, first, spread)
    half = student_quantile(freedom, level) * stderr
    computing = _computing_of_both(row, first, level)
    margin, told = combine(Margin(half, half), computing), [over]
    if examples := _scatter(row, first, level):
        margin = combine(margin, examples.margin)
        told.append(f"{examples.num} examples")
    if any(computing):
        told.append("computing")
    if not any(margin):
        return f"{digits(row.mean - first.mean)}, without any spread over {', '.join(told)}"
    return _interval(row, first, margin, ", ".join(told))


def _stderr_of_runs(row: Row, first: Row, spread: Spread) -> tuple[float, float, str]:
    """Standard error of the difference of two means over runs, its degrees of freedom, and what they are made of.

    Paired by seeds if these choose the data, and both rows have the same; else by Welch's t-test. That is liberal where
    the row with fewer runs has the larger spread: with two against five runs it rejects up to 11 times as often as it
    should at the level of six rows. Two samples of the smaller size bound the degrees of freedom, and the error with
    them. A row with one run takes the pooled spread.
    """
    num, num_first = len(row.values), len(first.values)
    over = f"{num} and {num_first} runs"
    if not (row.has_several_runs and first.has_several_runs):
        rows = f"of {spread.num_rows} configuration" + ("s" if spread.num_rows > 1 else "")
        return math.sqrt(spread.variance * (1 / num + 1 / num_first)), spread.freedom, f"{over} with the spread {rows}"
    ours, theirs = _by_seeds_of_data(row), _by_seeds_of_data(first)
    if ours.keys() == theirs.keys() and len(ours) == num == num_first:
        apart = np.array([ours[seed] - theirs[seed] for seed in ours])
        return float(apart.std(ddof=1)) / math.sqrt(num), num - 1, f"{num} pairs of runs"
    a, b = row.variance / num, first.variance / num_first
    welch = (a + b) ** 2 / max(a**2 / (num - 1) + b**2 / (num_first - 1), 1e-300)
    return math.sqrt(a + b), min(max(1.0, welch), 2 * (min(num, num_first) - 1)), over


def _by_seeds_of_data(row: Row) -> dict[tuple, float]:
    """The numbers of a row by the seeds that choose examples, labels or holes: the same are as hard for all models."""
    return {
        tuple(each for each in seeds(run) if each[0].startswith("dataset.")): float(estimate["value"])
        for run, estimate in row.finite_estimates
    }


class _Scatter(NamedTuple):
    """Margin of a mean paired difference over so many examples."""

    margin: Margin
    num: int


def _scatter(row: Row, first: Row, level: float) -> _Scatter | None:
    """None where one of the rows has no values of single examples."""
    ours, theirs = row.values_of_examples, first.values_of_examples
    if ours is None or theirs is None or len(ours) != len(theirs) or len(ours) < 2:
        return None
    apart = ours - theirs
    half = student_quantile(len(apart) - 1, level) * float(apart.std(ddof=1)) / math.sqrt(len(apart))
    return _Scatter(Margin(half, half), len(apart))


def _computing(row: Row, level: float) -> Margin:
    """Error of computing the number of a single run; of several runs their spread holds it."""
    if row.has_several_runs:
        return NO_MARGIN
    (estimate,) = _single(row)
    return _stated(estimate, "computing_interval", level) or NO_MARGIN


def _computing_of_both(row: Row, first: Row, level: float) -> Margin:
    return combine(_computing(row, level), _computing(first, level).scale(-1))


def _single(*rows: Row) -> list[Mapping[str, Any]]:
    return [estimate for row in rows for _, estimate in row.finite_estimates]


def _stated(estimate: Mapping[str, Any], name: str, level: float, freedom: float = math.inf) -> Margin | None:
    """Margin of a 95% interval of an estimate at another level, as by Student's t with these degrees of freedom."""
    interval = estimate.get(name)
    if interval is None:
        return None
    factor = student_quantile(max(1, freedom), level) / student_quantile(max(1, freedom))
    return Margin.from_interval(estimate["value"], interval).scale(factor)


def _interval(row: Row, first: Row, margin: Margin, over: str) -> Difference:
    mean = row.mean - first.mean
    return Difference(mean, *margin.around(mean), over)
