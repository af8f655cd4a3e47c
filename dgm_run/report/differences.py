"""Differences of rows of a table, with intervals that hold for all pairs of rows together.

A table in which every row has one run compares trained models over the population of test examples. Its intervals hold
the scatter over the examples and the error of computing. A table in which rows have several runs compares
configurations. Its intervals hold the spread over runs and the scatter over the examples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from dgm_run.estimators.intervals import LEVEL, NO_MARGIN, Margin, combine, student_quantile
from dgm_run.report.groups import list_seeds
from dgm_run.report.rows import Compared, Difference, Row, format_nats


class Spread(NamedTuple):
    """Variance over the runs of a configuration, assumed the same for all configurations of a table.

    Attributes:
        variance: pooled over the rows with several runs.
        freedom: degrees of freedom of the variance.
        num_rows: number of rows with several runs.
    """

    variance: float
    freedom: int
    num_rows: int


def add_differences(rows: Sequence[Row], is_of_one_run: bool = False) -> list[Row]:
    """Returns the rows of one table with the difference of each to the first.

    The level is Bonferroni's over all pairs of rows, because the first row is the best of many.

    Args:
        rows: the rows, the best first.
        is_of_one_run: whether the rows are evaluations of one run on the same examples.
    """
    level = 1 - (1 - LEVEL) / max(1, math.comb(len(rows), 2))
    first = rows[0]
    spread = _pool_spread(rows)
    compared: Compared = "configuration" if spread else "trained model"
    if is_of_one_run:
        compared = "evaluation"

    def subtract(row: Row) -> Difference | str:
        if not (math.isfinite(row.mean) and math.isfinite(first.mean)):
            return "not finite"
        if spread:
            return _subtract_means(row, first, level, spread)
        return _subtract_models(row, first, level, is_of_one_run)

    return [replace(row, compared=compared, difference="" if row is first else subtract(row)) for row in rows]


def _pool_spread(rows: Sequence[Row]) -> Spread | None:
    several = [row for row in rows if row.has_several_runs and math.isfinite(row.mean)]
    freedom = sum(len(row.values) - 1 for row in several)
    squares = sum((len(row.values) - 1) * row.variance for row in several)
    return Spread(squares / freedom, freedom, len(several)) if several else None


def _subtract_models(row: Row, first: Row, level: float, is_of_one_run: bool) -> Difference | str:
    """Returns the difference of two runs: paired over the examples, else from the intervals of both numbers.

    Two evaluations of one run differ by the errors of computing alone, where these are stated. The scatter over the
    examples of such a difference holds the same errors once more.
    """
    estimates = _list_estimates(row, first)
    if is_of_one_run and all(each.get("computing_interval") for each in estimates):
        return _make_difference(row, first, _combine_computing(row, first, level), "computing")
    if examples := _measure_scatter(row, first, level):
        computing = _combine_computing(row, first, level)
        over = f"{examples.num} examples" + (" and computing" if any(computing) else "")
        return _make_difference(row, first, combine(examples.margin, computing), over)
    margins = [_read_margin(each, "interval", level, each["num_examples"] - 1) for each in estimates]
    ours, theirs = margins
    if ours is None or theirs is None:
        return "not paired: no values of single examples, and no intervals"
    return _make_difference(row, first, combine(ours, theirs.scale(-1)), "unpaired")


def _subtract_means(row: Row, first: Row, level: float, spread: Spread) -> Difference | str:
    """Returns the difference of two configurations, from the spread over runs and the scatter over examples.

    The spread over runs holds the error of computing; a single run has its own beside the spread of other rows.
    """
    stderr, freedom, over = _estimate_run_stderr(row, first, spread)
    half = student_quantile(freedom, level) * stderr
    computing = _combine_computing(row, first, level)
    margin = combine(Margin(half, half), computing)
    sources = [over]
    if examples := _measure_scatter(row, first, level):
        margin = combine(margin, examples.margin)
        sources.append(f"{examples.num} examples")
    if any(computing):
        sources.append("computing")
    if not any(margin):
        return f"{format_nats(row.mean - first.mean)}, without any spread over {', '.join(sources)}"
    return _make_difference(row, first, margin, ", ".join(sources))


def _estimate_run_stderr(row: Row, first: Row, spread: Spread) -> tuple[float, float, str]:
    """Returns the standard error of the difference of two means over runs, its degrees of freedom, and their source.

    The runs are paired by seeds if these choose the data and both rows have the same. Else the test is Welch's. It is
    liberal where the row with fewer runs has the larger spread. At the level of six rows, two against five runs give up
    to 11 times too many rejections. Degrees of freedom of two samples of the smaller size bound that error. A row with
    one run takes the pooled spread.
    """
    num = len(row.values)
    num_first = len(first.values)
    over = f"{num} and {num_first} runs"
    if not (row.has_several_runs and first.has_several_runs):
        rows = f"of {spread.num_rows} configuration" + ("s" if spread.num_rows > 1 else "")
        return math.sqrt(spread.variance * (1 / num + 1 / num_first)), spread.freedom, f"{over} with the spread {rows}"
    ours = _group_by_data_seeds(row)
    theirs = _group_by_data_seeds(first)
    if ours.keys() == theirs.keys() and len(ours) == num == num_first:
        differences = np.array([ours[seed] - theirs[seed] for seed in ours])
        return float(differences.std(ddof=1)) / math.sqrt(num), num - 1, f"{num} pairs of runs"
    a = row.variance / num
    b = first.variance / num_first
    welch = (a + b) ** 2 / max(a**2 / (num - 1) + b**2 / (num_first - 1), 1e-300)
    return math.sqrt(a + b), min(max(1.0, welch), 2 * (min(num, num_first) - 1)), over


def _group_by_data_seeds(row: Row) -> dict[tuple, float]:
    """Returns the numbers of a row by the seeds that choose examples, labels or missing elements."""
    return {
        tuple(each for each in list_seeds(run) if each[0].startswith("dataset.")): float(estimate["value"])
        for run, estimate in row.finite_estimates
    }


class _Scatter(NamedTuple):
    """Margin of a mean paired difference, and its number of examples."""

    margin: Margin
    num: int


def _measure_scatter(row: Row, first: Row, level: float) -> _Scatter | None:
    """Returns the scatter of paired differences; None where a row has no values of single examples."""
    ours = row.values_of_examples
    theirs = first.values_of_examples
    if ours is None or theirs is None or len(ours) != len(theirs) or len(ours) < 2:
        return None
    differences = ours - theirs
    num = len(differences)
    half = student_quantile(num - 1, level) * float(differences.std(ddof=1)) / math.sqrt(num)
    return _Scatter(Margin(half, half), num)


def _read_computing(row: Row, level: float) -> Margin:
    """Returns the margin of computing of a single run; the spread of several runs holds it already."""
    if row.has_several_runs:
        return NO_MARGIN
    (estimate,) = _list_estimates(row)
    return _read_margin(estimate, "computing_interval", level) or NO_MARGIN


def _combine_computing(row: Row, first: Row, level: float) -> Margin:
    return combine(_read_computing(row, level), _read_computing(first, level).scale(-1))


def _list_estimates(*rows: Row) -> list[Mapping[str, Any]]:
    return [estimate for row in rows for _, estimate in row.finite_estimates]


def _read_margin(estimate: Mapping[str, Any], name: str, level: float, freedom: float = math.inf) -> Margin | None:
    """Rescales a stated 95% interval to another level by Student's t, and returns its margin; None without one."""
    interval = estimate.get(name)
    if interval is None:
        return None
    factor = student_quantile(max(1, freedom), level) / student_quantile(max(1, freedom))
    return Margin.from_interval(estimate["value"], interval).scale(factor)


def _make_difference(row: Row, first: Row, margin: Margin, over: str) -> Difference:
    mean = row.mean - first.mean
    return Difference(mean, *margin.around(mean), over)
