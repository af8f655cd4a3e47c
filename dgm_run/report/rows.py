"""Rows of a table: the numbers of the runs of one configuration by one method."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from dgm_run.recording.estimate_id import values_key
from dgm_run.report.groups import Group
from dgm_run.report.runs import Run

NUM_SEEDS = "num_estimator_seeds"
"""Key of the number of estimator seeds that an estimate is a mean over."""

Compared = Literal["trained model", "configuration", "evaluation"]


class Difference(NamedTuple):
    """Difference of two rows, with an interval that holds for all pairs of rows of the table together.

    Attributes:
        mean: the difference.
        low, high: ends of the interval.
        over: sources of the error that the interval holds.
    """

    mean: float
    low: float
    high: float
    over: str


@dataclass(frozen=True)
class Row:
    """The number of a group by one method.

    Attributes:
        group: the group with those of its runs that have the number.
        estimates: estimate of each run, as in results.json.
        difference: difference to the first row, or the reason why there is none.
        published: the number of a paper and its source, or None.
        compared: the things that the differences of the table compare.
    """

    group: Group
    estimates: Sequence[Mapping[str, Any]]
    difference: Difference | str
    published: tuple[float, str] | None
    compared: Compared = "configuration"

    @property
    def finite_estimates(self) -> list[tuple[Run, Mapping[str, Any]]]:
        """Runs whose number is finite, each with its estimate."""
        pairs = zip(self.group.runs, self.estimates, strict=True)
        return [(run, estimate) for run, estimate in pairs if math.isfinite(estimate["value"])]

    @property
    def values(self) -> list[float]:
        """Numbers of the runs that are finite, or all numbers where none is."""
        numbers = [float(each["value"]) for each in self.estimates]
        return [value for value in numbers if math.isfinite(value)] or numbers

    @property
    def has_several_runs(self) -> bool:
        return len(self.values) > 1

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)

    @property
    def variance(self) -> float:
        """Sample variance over several runs."""
        return float(np.var(self.values, ddof=1))

    @property
    def stderr(self) -> float | None:
        """Standard error over the runs; for a single run, that of its examples and of computing."""
        if self.has_several_runs:
            return math.sqrt(self.variance / len(self.values))
        return next((each.get("stderr") for each in self.estimates if math.isfinite(each["value"])), None)

    @property
    def interval(self) -> Sequence[float] | None:
        """95% interval of the number of a single run, which may be asymmetric; None for several runs."""
        intervals = [each.get("interval") for each in self.estimates if math.isfinite(each["value"])]
        return intervals[0] if len(intervals) == 1 else None

    @property
    def values_of_examples(self) -> np.ndarray | None:
        """Mean over the runs for each test example, (N,); None where the numbers are not means of these values."""
        arrays = []
        for run, estimate in self.finite_estimates:
            values = run.values.get(values_key(estimate))
            if values is None or not math.isclose(values.mean(), estimate["value"], rel_tol=1e-3, abs_tol=1e-3):
                return None
            arrays.append(values.astype(np.float64))
        return np.mean(arrays, 0) if len({len(values) for values in arrays}) == 1 else None

    @property
    def train_reference(self) -> float | None:
        """Number that a perfect model would reach; None where it is not known."""
        references = [each.get("train_reference") for each in self.estimates]
        return references[0] if len(references) == 1 else None

    @property
    def note(self) -> str:
        """Failures and warnings of the runs, and the number of estimator seeds of a mean."""
        runs = self.group.runs
        lost = self.group.lost
        num_infinite = sum(not math.isfinite(each["value"]) for each in self.estimates)
        notes = [_count_part(num_infinite, len(runs), "not finite")]
        notes.append(_count_part(sum(run.is_collapsed for run in runs), len(runs), "collapsed"))
        for state in dict.fromkeys(run.state for run in lost):
            notes.append(_count_part(sum(run.state == state for run in lost), len(runs) + len(lost), state))
        if any(each.get("warning") and "collapsed" not in str(each["warning"]) for each in self.estimates):
            notes.append("see warnings")
        seeds = sorted({each.get(NUM_SEEDS, 1) for each in self.estimates})
        if seeds[-1] > 1:
            notes.append(f"mean of {' or '.join(map(str, seeds))} estimator seeds")
        return ", ".join(filter(None, notes))

    def format_number(self, usual_num_runs: int = 1) -> str:
        """Returns `mean ± standard error`, with the number of runs where that is not `usual_num_runs`."""
        error = "" if self.stderr is None else f" ± {format_nats(self.stderr)}"
        num = len(self.values)
        return format_nats(self.mean) + error + ("" if num == usual_num_runs else f" ({_count_runs(num)})")


def _count_part(num: int, total: int, what: str) -> str:
    """Writes `what` if it holds for all, `num of total what` if for some, and nothing if for none."""
    if num == 0:
        return ""
    return what if num == total else f"{num} of {total} {what}"


def _count_runs(count: int) -> str:
    return f"{count} run" + ("s" if count > 1 else "")


def format_nats(value: float) -> str:
    """Formats a number with three decimals, or a huge one with four digits."""
    return f"{value:.3f}" if abs(value) < 1e7 else f"{value:.4g}"
