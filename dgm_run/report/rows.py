"""A row of a table: what the runs of one configuration have found in one way."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from dgm_run.recording.estimate_id import values_key
from dgm_run.report.groups import Group
from dgm_run.report.runs import Run

NUM_SEEDS = "num_estimator_seeds"
"""Key of an estimate that is a mean over seeds of its estimator: how many."""


Compared = Literal["trained model", "configuration", "evaluation"]


class Difference(NamedTuple):
    """Difference of two rows, with an interval that holds for all pairs of rows of the table together.

    Attributes:
        mean: how far they are apart.
        low, high: ends of the interval.
        over: what the interval is computed from.
    """

    mean: float
    low: float
    high: float
    over: str


@dataclass(frozen=True)
class Row:
    """What a group has found in one way.

    Attributes:
        group: its settings, and those of its runs that have it.
        estimates: of each run, as in results.json.
        difference: to the first row, or in words why there is none.
        published: the number of a paper and where it stands, or None.
        compared: what the differences of its table are differences of.
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
        """Of the runs whose number is finite, or of all where none is."""
        found = [float(each["value"]) for each in self.estimates]
        return [value for value in found if math.isfinite(value)] or found

    @property
    def has_several_runs(self) -> bool:
        return len(self.values) > 1

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)

    @property
    def variance(self) -> float:
        """Sample variance over the runs, of which there are several."""
        return float(np.var(self.values, ddof=1))

    @property
    def stderr(self) -> float | None:
        """Over the runs; of a single one that of its examples and of computing."""
        if self.has_several_runs:
            return math.sqrt(self.variance / len(self.values))
        return next((each.get("stderr") for each in self.estimates if math.isfinite(each["value"])), None)

    @property
    def interval(self) -> Sequence[float] | None:
        """95% interval of the number of a single run, which need not be symmetric; None of several runs."""
        found = [each.get("interval") for each in self.estimates if math.isfinite(each["value"])]
        return found[0] if len(found) == 1 else None

    @property
    def values_of_examples(self) -> np.ndarray | None:
        """Of each test example the mean over the runs, (N,); None where their numbers were made of anything else."""
        found = []
        for run, estimate in self.finite_estimates:
            values = run.values.get(values_key(estimate))
            if values is None or not math.isclose(values.mean(), estimate["value"], rel_tol=1e-3, abs_tol=1e-3):
                return None
            found.append(values.astype(np.float64))
        return np.mean(found, 0) if len({len(values) for values in found}) == 1 else None

    @property
    def train_reference(self) -> float | None:
        """What a perfect model would reach, where that is told."""
        found = [each.get("train_reference") for each in self.estimates]
        return found[0] if len(found) == 1 else None

    @property
    def note(self) -> str:
        """What is wrong with the runs behind it, and over how many seeds of the estimator it is a mean."""
        runs = self.group.runs
        lost = self.group.lost
        notes = [_some(sum(not math.isfinite(each["value"]) for each in self.estimates), len(runs), "not finite")]
        notes.append(_some(sum(run.is_collapsed for run in runs), len(runs), "collapsed"))
        for state in dict.fromkeys(run.state for run in lost):
            notes.append(_some(sum(run.state == state for run in lost), len(runs) + len(lost), state))
        if any(each.get("warning") and "collapsed" not in str(each["warning"]) for each in self.estimates):
            notes.append("to be read with care")
        seeds = sorted({each.get(NUM_SEEDS, 1) for each in self.estimates})
        if seeds[-1] > 1:
            notes.append(f"mean of {' or '.join(map(str, seeds))} estimator seeds")
        return ", ".join(filter(None, notes))

    def number(self, usual: int = 1) -> str:
        """`mean ± standard error`, over the runs where there are several: how many is told if it is not usual."""
        error = "" if self.stderr is None else f" ± {digits(self.stderr)}"
        return digits(self.mean) + error + ("" if len(self.values) == usual else f" ({_runs(len(self.values))})")


def _some(num: int, total: int, what: str) -> str:
    return "" if not num else what if num == total else f"{num} of {total} {what}"


def _runs(count: int) -> str:
    return f"{count} run" + ("s" if count > 1 else "")


def columns(rows: Sequence[Row]) -> list[str]:
    """The settings by which the rows of a table differ."""
    names = dict.fromkeys(name for row in rows for name in row.group.settings)
    return [name for name in names if len({str(row.group.settings.get(name)) for row in rows}) > 1]


def digits(value: float) -> str:
    """As nats are told; a number that is beyond all reason by its size."""
    return f"{value:.3f}" if abs(value) < 1e7 else f"{value:.4g}"
