"""Numbers side by side: only those that were found in the same way, on the same data."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from dgm_run.report.groups import Group, seeds
from dgm_run.report.runs import Run
from dgm_run.way import key

FIRST = ("log_likelihood", "elbo", "bits_per_dim", "perplexity", "error")
HIGHER = (
    "log_likelihood",
    "elbo",
    "pseudo_likelihood",
    "parzen",
    "precision",
    "recall",
    "density",
    "coverage",
    "auroc",
)
LOWER = (
    *("bits_per_dim", "perplexity", "error", "mse", "kl_from_truth", "calibration_error", "cfid", "frechet", "kid"),
    *("mmd", "class_kl", "duplicates"),
)
"""Of quantities by these names, and by these with more behind an underscore, one end is the better one."""
NOT_RANKED = ("mmd_p_value",)

LEVEL = 0.95
"""Of the intervals around differences."""


@dataclass(frozen=True)
class Way:
    """How a number was found; numbers of two ways are never ranked together.

    Attributes:
        split, quantity, estimator, kind, unit: as in results.json.
        settings: of the estimator, as JSON.
        num_examples: that it was found on.
        dataset, binarization: of the data.
        data: what else decides which examples are tested, as JSON.
    """

    split: str
    quantity: str
    estimator: str
    kind: str
    unit: str
    settings: str
    num_examples: int
    dataset: str
    binarization: str
    data: str

    @property
    def better(self) -> Literal["higher", "lower"] | None:
        """Which of two numbers is the better one, if either is."""
        for better, names in (("higher", HIGHER), ("lower", LOWER)):
            named = any(self.quantity == name or self.quantity.startswith(f"{name}_") for name in names)
            if named and self.quantity not in NOT_RANKED:
                return better
        return None

    def describe(self) -> str:
        """In a line, for the head of a table."""
        better = f"; {self.better} is better" if self.better else ""
        return f"{self.describe_method()}; {self.num_examples} examples of {self.describe_data()}{better}"

    def describe_method(self) -> str:
        settings = ", ".join(f"{k}={v}" for k, v in json.loads(self.settings).items())
        how = f"{self.estimator} ({settings})" if settings else self.estimator
        return f"{self.kind.replace('_', ' ')} by {how}" + (f", {self.unit}" if self.unit else "")

    def describe_data(self) -> str:
        path = json.loads(self.data).get("dataset.source.path")
        return f"{self.dataset} {self.split}" + (f" ({path})" if path else "") + f", binarisation {self.binarization}"


class Difference(NamedTuple):
    """Of two rows, with its interval.

    Attributes:
        mean: how far they are apart.
        low, high: ends of the interval.
        over: what it is told from.
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
        difference: to the best row, or in words why there is none.
        published: the number of a paper and where it stands, or None.
    """

    group: Group
    estimates: Sequence[Mapping[str, Any]]
    difference: Difference | str
    published: tuple[float, str] | None

    @property
    def values(self) -> list[float]:
        return [float(each["value"]) for each in self.estimates]

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)

    @property
    def sd(self) -> float | None:
        """Over the runs; None of a single one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    @property
    def floor(self) -> float | None:
        """What a perfect model would reach, where that is told."""
        found = [each.get("floor") for each in self.estimates]
        return found[0] if len(found) == 1 else None

    @property
    def note(self) -> str:
        """What is wrong with the runs behind it."""
        runs = self.group.runs
        notes = ["not finite"] if not math.isfinite(self.mean) else []
        if collapsed := sum(run.is_collapsed for run in runs):
            notes.append("collapsed" if collapsed == len(runs) else f"{collapsed} of {len(runs)} collapsed")
        if any(each.get("warning") and "collapsed" not in str(each["warning"]) for each in self.estimates):
            notes.append("to be read with care")
        return ", ".join(notes)

    def number(self) -> str:
        """`mean ± standard error over the examples`, or of several runs `mean ± sd over so many runs`."""
        if self.sd is not None:
            return f"{digits(self.mean)} ± {digits(self.sd)} (sd of {len(self.values)} runs)"
        stderr = self.estimates[0].get("stderr")
        return digits(self.mean) + (f" ± {digits(stderr)}" if stderr is not None else "")


def columns(rows: Sequence[Row]) -> list[str]:
    """The settings by which the rows of a table differ."""
    names = dict.fromkeys(name for row in rows for name in row.group.settings)
    return [name for name in names if len({str(row.group.settings.get(name)) for row in rows}) > 1]


def digits(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else str(value)


def versions(runs: Sequence[Run]) -> list[str]:
    """Of the code, each with the number of its runs, where there are several: their numbers may not compare."""
    found = Counter(run.version for run in runs)
    return [f"{count} by {version}" for version, count in found.most_common()] if len(found) > 1 else []


def tables(groups: Sequence[Group]) -> Iterator[tuple[Way, list[Row]]]:
    """For every way in which a number was found the groups that have it, the best first."""
    found: dict[Way, list[Row]] = {}
    for group in groups:
        of_group: dict[Way, list[tuple[Run, Mapping[str, Any]]]] = {}
        for run in group.runs:
            for estimate in run.results["estimates"]:
                of_group.setdefault(_way(run, estimate), []).append((run, estimate))
        for way, pairs in of_group.items():
            runs, estimates = zip(*pairs, strict=True)
            row = Row(replace(group, runs=runs), estimates, "", _published(way, runs[0]))
            found.setdefault(way, []).append(row)
    for way in sorted(found, key=_rank):
        rows = found[way]
        if way.better:
            sign = 1 if way.better == "lower" else -1
            rows.sort(key=lambda row, sign=sign: (not math.isfinite(row.mean), sign * row.mean))
            rows = [rows[0], *(replace(row, difference=_difference(row, rows[0])) for row in rows[1:])]
        yield way, rows


def _way(run: Run, row: Mapping[str, Any]) -> Way:
    settings = json.dumps(row["settings"], sort_keys=True)
    named = (str(row[name]) for name in ("split", "quantity", "estimator", "kind"))
    data = (str(run.results.get("dataset")), str(run.results.get("binarization")), _data(run))
    return Way(*named, str(row.get("unit", "nats")), settings, int(row.get("num_examples") or 0), *data)


def _data(run: Run) -> str:
    """What decides which examples are tested, and is no choice of what is trained on."""
    free = ("dataset.num_labels", "dataset.label_seed", "dataset.num_classes", "dataset.source.data_dir")
    told = {k: v for k, v in run.settings.items() if k.startswith("dataset.") and k not in free}
    return json.dumps(told, sort_keys=True, default=str)


def _rank(way: Way) -> tuple:
    place = FIRST.index(way.quantity) if way.quantity in FIRST else len(FIRST)
    return place, way.dataset, way.quantity, way.estimator, way.settings, way.num_examples, way.data


def _published(way: Way, run: Run) -> tuple[float, str] | None:
    told = run.results.get("published") or {}
    if told.get("quantity") != way.quantity or not isinstance(told.get("value"), int | float):
        return None
    return float(told["value"]), str(told.get("source", ""))


def _difference(row: Row, best: Row) -> Difference | str:
    """Between runs where both have several, paired by their seeds if they have the same; else between examples."""
    if not (math.isfinite(row.mean) and math.isfinite(best.mean)):
        return "not finite"
    if row.sd is not None and best.sd is not None:
        return _between_runs(row, best)
    if row.sd is not None or best.sd is not None:
        return "a single run against several"
    ours, theirs = _per_example(row), _per_example(best)
    if ours is None or theirs is None or len(ours) != len(theirs) or len(ours) < 2:
        return "not paired: no values of single examples"
    apart = ours - theirs
    return _interval(
        float(apart.mean()), float(apart.var(ddof=1)) / len(apart), len(apart) - 1, f"{len(apart)} examples"
    )


def _between_runs(row: Row, best: Row) -> Difference:
    ours, theirs = (
        {seeds(run): value for run, value in zip(each.group.runs, each.values, strict=True)} for each in (row, best)
    )
    if ours.keys() == theirs.keys() and len(ours) == len(row.values) == len(best.values):
        apart = np.array([ours[seed] - theirs[seed] for seed in ours])
        spread = float(apart.var(ddof=1)) / len(apart)
        return _interval(float(apart.mean()), spread, len(apart) - 1, f"{len(apart)} pairs of runs")
    parts = [(float(np.var(each.values, ddof=1)) / len(each.values), len(each.values)) for each in (row, best)]
    spread = sum(part for part, _ in parts)
    # the degrees of freedom of Welch
    freedom = spread**2 / max(sum(part**2 / (n - 1) for part, n in parts), 1e-300)
    return _interval(row.mean - best.mean, spread, max(freedom, 1.0), f"{len(row.values)} and {len(best.values)} runs")


def _interval(mean: float, variance: float, freedom: float, over: str) -> Difference:
    from scipy.special import stdtrit  # a fifth of a second

    half = float(stdtrit(freedom, 0.5 + LEVEL / 2)) * math.sqrt(variance)
    return Difference(mean, mean - half, mean + half, over)


def _per_example(row: Row) -> np.ndarray | None:
    """What each test example has, (N,), of a single run, if it is what its number was made of."""
    (run,), (estimate,) = row.group.runs, row.estimates
    values = run.values.get(key(estimate))
    if (
        values is None
        or len(values) == 0
        or not math.isclose(values.mean(), estimate["value"], rel_tol=1e-3, abs_tol=1e-3)
    ):
        return None
    return values.astype(np.float64)
