"""Numbers side by side: only those that were found in the same way, on the same data."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dgm_run.report.groups import Group
from dgm_run.report.runs import Run

FIRST = ("log_likelihood", "elbo", "bits_per_dim", "perplexity", "error")
LOWER_IS_BETTER = (
    *("bits_per_dim", "perplexity", "error", "mse", "kl_from_truth"),
    *("cfid", "kid", "calibration_error", "mmd"),
)


@dataclass(frozen=True)
class Way:
    """How a number was found; numbers of two ways are never ranked together.

    Attributes:
        split, quantity, estimator, kind, unit: as in results.json.
        settings: of the estimator, as JSON.
        dataset, binarization: of the data.
    """

    split: str
    quantity: str
    estimator: str
    kind: str
    unit: str
    settings: str
    dataset: str
    binarization: str

    @property
    def lower_is_better(self) -> bool:
        return self.quantity.startswith(LOWER_IS_BETTER)

    def describe(self) -> str:
        """In a line, for the head of a table."""
        settings = ", ".join(f"{k}={v}" for k, v in json.loads(self.settings).items())
        unit = f", {self.unit}" if self.unit else ""
        how = f"{self.estimator} ({settings})" if settings else self.estimator
        data = f"{self.dataset} {self.split}, binarisation {self.binarization}"
        return f"{self.kind.replace('_', ' ')} by {how}{unit}; {data}"


@dataclass(frozen=True)
class Row:
    """What a group has found in one way.

    Attributes:
        group: the runs.
        values: of each run.
        stderr: over the examples, of a single run, or None.
        difference: to the best row, on the same examples: mean and standard error; None where it cannot be told.
        published: the number of a paper, or None.
    """

    group: Group
    values: Sequence[float]
    stderr: float | None
    difference: tuple[float, float] | None
    published: float | None

    @property
    def note(self) -> str:
        """What is wrong with the runs behind it."""
        collapsed = sum(run.is_collapsed for run in self.group.runs)
        if not collapsed:
            return ""
        return "collapsed" if collapsed == len(self.group.runs) else f"{collapsed} of {len(self.group.runs)} collapsed"

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)

    @property
    def sd(self) -> float | None:
        """Over the runs; None of a single one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def number(self) -> str:
        """`mean ± standard error over the examples`, or of several runs `mean ± sd over so many runs`."""
        if self.sd is not None:
            return f"{digits(self.mean)} ± {digits(self.sd)} (sd of {len(self.values)} runs)"
        return digits(self.mean) + (f" ± {digits(self.stderr)}" if self.stderr is not None else "")


def columns(rows: Sequence[Row]) -> list[str]:
    """The settings by which the rows of a table differ; of rows that differ by none the model."""
    names = dict.fromkeys(name for row in rows for name in row.group.settings)
    found = [name for name in names if len({str(row.group.settings.get(name)) for row in rows}) > 1]
    return found or [name for name in names if name == "model"]


def digits(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else str(value)


def versions(runs: Sequence[Run]) -> list[str]:
    """Of the code, each with the number of its runs, where there are several: their numbers may not compare."""
    found = Counter(run.version for run in runs)
    return [f"{count} by {version}" for version, count in found.most_common()] if len(found) > 1 else []


def tables(groups: Sequence[Group]) -> Iterator[tuple[Way, list[Row]]]:
    """For every way in which a number was found the groups that have it, the best first."""
    found: dict[Way, list[tuple[Group, list[tuple[Run, Mapping[str, Any]]]]]] = {}
    for group in groups:
        of_group: dict[Way, list[tuple[Run, Mapping[str, Any]]]] = {}
        for run in group.runs:
            for row in run.results["estimates"]:
                of_group.setdefault(_way(run, row), []).append((run, row))
        for way, rows in of_group.items():
            found.setdefault(way, []).append((group, rows))
    for way in sorted(found, key=_rank):
        rows = [_row(way, group, seen) for group, seen in found[way]]
        rows.sort(key=lambda row: row.mean, reverse=not way.lower_is_better)
        yield way, [_compared(way, row, rows[0]) for row in rows]


def _way(run: Run, row: Mapping[str, Any]) -> Way:
    settings = json.dumps(row["settings"], sort_keys=True)
    named = (str(row[name]) for name in ("split", "quantity", "estimator", "kind"))
    data = (str(run.results.get("dataset")), str(run.results.get("binarization")))
    return Way(*named, str(row.get("unit", "nats")), settings, *data)


def _rank(way: Way) -> tuple:
    place = FIRST.index(way.quantity) if way.quantity in FIRST else len(FIRST)
    return place, way.dataset, way.quantity, way.estimator, way.settings


def _row(way: Way, group: Group, seen: Sequence[tuple[Run, Mapping[str, Any]]]) -> Row:
    published = seen[0][0].results.get("published") or {}
    value = published.get("value") if published.get("quantity") == way.quantity else None
    stderr = seen[0][1].get("stderr") if len(seen) == 1 else None
    return Row(group, [row["value"] for _, row in seen], stderr, None, value)


def _compared(way: Way, row: Row, best: Row) -> Row:
    ours, theirs = _per_example(way, row.group), _per_example(way, best.group)
    if row is best or ours is None or theirs is None or len(ours) != len(theirs) or len(ours) < 2:
        return row
    if _data(row.group) != _data(best.group):
        return row
    apart = ours - theirs
    numbers = float(apart.mean()), float(apart.std(ddof=1) / math.sqrt(len(apart)))
    return Row(row.group, row.values, row.stderr, numbers, row.published)


def _per_example(way: Way, group: Group) -> np.ndarray | None:
    """The mean over the runs of what each test example has, (N,)."""
    found = [run.values.get(f"{way.split}/{way.quantity}/{way.estimator}") for run in group.runs]
    if any(values is None for values in found) or len({len(values) for values in found}) != 1:
        return None
    return np.mean(found, axis=0)


def _data(group: Group) -> set[str]:
    """What decides which examples are tested."""
    free = ("dataset.num_labels", "dataset.label_seed", "dataset.num_classes")
    found = set()
    for run in group.runs:
        data = {k: v for k, v in run.settings.items() if k.startswith("dataset.") and k not in free}
        found.add(json.dumps(data, sort_keys=True))
    return found
