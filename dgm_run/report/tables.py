"""Numbers side by side: only those that were found in the same way, on the same data."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from dgm_run.config import DATA_PLACES
from dgm_run.report.groups import Group, seeds
from dgm_run.report.runs import Run
from dgm_run.way import key, words

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
    "modes",
    "high_quality",
    "auroc",
)
LOWER = (
    *("bits_per_dim", "perplexity", "error", "mse", "kl_from_truth", "calibration_error", "cfid", "frechet", "kid"),
    *("mmd", "class_kl", "duplicates"),
)
"""Of quantities by these names, and by these with more behind an underscore, one end is the better one."""
NOT_RANKED = ("mmd_p_value",)


def better_end(quantity: str) -> Literal["higher", "lower"] | None:
    """Which of two numbers of a quantity is the better one, if either is."""
    for better, names in (("higher", HIGHER), ("lower", LOWER)):
        named = any(quantity == name or quantity.startswith(f"{name}_") for name in names)
        if named and quantity not in NOT_RANKED:
            return better
    return None


LEVEL = 0.95
"""Of the intervals around the differences of a table, of all pairs of its rows together: the best is one of many."""


@dataclass(frozen=True)
class Way:
    """How a number was found; numbers of two ways are never ranked together.

    Attributes:
        split, quantity, estimator, kind, unit: as in results.json.
        settings: of the estimator, as JSON.
        num_examples: that it was found on.
        dataset, binarization: of the data.
        data: what else decides which examples are tested, as JSON.
        apart: what of that tells it from another way in the same words.
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
    apart: str = ""

    @property
    def better(self) -> Literal["higher", "lower"] | None:
        """Which of two numbers is the better one, if either is."""
        return better_end(self.quantity)

    def describe(self) -> str:
        """In a line, for the head of a table."""
        better = f"; {self.better} is better" if self.better else ""
        return f"{self.describe_method()}; {self.num_examples} examples of {self.describe_data()}{better}"

    def describe_method(self) -> str:
        how = words(self.kind, self.estimator, json.loads(self.settings))
        return how + (f", {self.unit}" if self.unit else "")

    def describe_data(self) -> str:
        path = json.loads(self.data).get("dataset.source.path")
        more = ", ".join(filter(None, (path, self.apart)))
        return f"{self.dataset} {self.split}" + (f" ({more})" if more else "") + f", binarisation {self.binarization}"


class Difference(NamedTuple):
    """Of two rows, with its interval, which holds for all pairs of rows of the table together.

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
        """Of the runs whose number is finite, or of all where none is."""
        found = [float(each["value"]) for each in self.estimates]
        return [value for value in found if math.isfinite(value)] or found

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)

    @property
    def stderr(self) -> float | None:
        """Over the runs; of a single one over the examples."""
        if len(self.values) > 1:
            return float(np.std(self.values, ddof=1)) / math.sqrt(len(self.values))
        return self.estimates[0].get("stderr")

    @property
    def floor(self) -> float | None:
        """What a perfect model would reach, where that is told."""
        found = [each.get("floor") for each in self.estimates]
        return found[0] if len(found) == 1 else None

    @property
    def note(self) -> str:
        """What is wrong with the runs behind it."""
        runs, lost = self.group.runs, self.group.lost
        notes = [_some(sum(not math.isfinite(each["value"]) for each in self.estimates), len(runs), "not finite")]
        notes.append(_some(sum(run.is_collapsed for run in runs), len(runs), "collapsed"))
        for state in dict.fromkeys(run.state for run in lost):
            notes.append(_some(sum(run.state == state for run in lost), len(runs) + len(lost), state))
        if any(each.get("warning") and "collapsed" not in str(each["warning"]) for each in self.estimates):
            notes.append("to be read with care")
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
            row = Row(replace(group, runs=runs), estimates, "", _published(way, runs))
            found.setdefault(way, []).append(row)
    apart = _apart(list(found))
    for way in sorted(found, key=lambda way: _rank(way, len(found[way]))):
        rows = found[way]
        if way.better:
            sign = 1 if way.better == "lower" else -1
            rows.sort(key=lambda row, sign=sign: (not math.isfinite(row.mean), sign * row.mean))
            level = 1 - (1 - LEVEL) / max(1, math.comb(len(rows), 2))
            rows = [rows[0], *(replace(row, difference=_difference(row, rows[0], level)) for row in rows[1:])]
        yield replace(way, apart=apart[way]), rows


def _apart(ways: Sequence[Way]) -> dict[Way, str]:
    """What tells each way from others that are described in the same words."""
    same: dict[tuple[str, str], list[Way]] = {}
    for way in ways:
        same.setdefault((way.quantity, way.describe()), []).append(way)
    found = {}
    for others in same.values():
        data = [json.loads(way.data) for way in others]
        names = [name for name in dict.fromkeys(name for each in data for name in each)
                 if len({str(each.get(name)) for each in data}) > 1]  # fmt: skip
        for way, each in zip(others, data, strict=True):
            found[way] = ", ".join(f"{name}={each.get(name)}" for name in names)
    return found


def _way(run: Run, row: Mapping[str, Any]) -> Way:
    settings = json.dumps(row["settings"], sort_keys=True)
    named = (str(row[name]) for name in ("split", "quantity", "estimator", "kind"))
    data = (str(run.results.get("dataset")), str(run.results.get("binarization")), _data(run))
    return Way(*named, str(row.get("unit", "nats")), settings, int(row.get("num_examples") or 0), *data)


def _data(run: Run) -> str:
    """What decides which examples are tested, and is no choice of what is trained on."""
    has_digest = "md5 " in str(run.results.get("binarization"))  # which says more than the place does
    places = DATA_PLACES if has_digest else ("dataset.source.data_dir",)
    # densities are in the units of the data, whatever units the model sees
    free = ("dataset.num_labels", "dataset.label_seed", "dataset.num_classes", "dataset.standardize", *places)
    if run.settings.get("dataset.num_levels") is None:
        free += ("dataset.dequantize",)  # of levels alone
    told = {key: value for key, value in run.settings.items() if key.startswith("dataset.") and key not in free}
    # what is off is as what older code does not know of
    told = {key: value for key, value in told.items() if value is not None and value is not False}
    return json.dumps(told, sort_keys=True, default=str)


def _rank(way: Way, num_rows: int) -> tuple:
    """What matters first, and what most configurations have."""
    place = FIRST.index(way.quantity) if way.quantity in FIRST else len(FIRST)
    return place, way.dataset, way.quantity, -num_rows, way.estimator, way.settings, way.num_examples, way.data


def _published(way: Way, runs: Sequence[Run]) -> tuple[float, str] | None:
    """The number of a paper for this quantity, and where it stands."""
    told = next((run.published for run in runs if run.published), None)
    return (told.values[way.quantity], told.where) if told and way.quantity in told.values else None


def _difference(row: Row, best: Row, level: float) -> Difference | str:
    """Between runs where both have several, else between examples."""
    if not (math.isfinite(row.mean) and math.isfinite(best.mean)):
        return "not finite"
    if len(row.values) > 1 and len(best.values) > 1:
        return _between_runs(row, best, level)
    ours, theirs = _per_example(row), _per_example(best)
    if ours is None or theirs is None or len(ours) != len(theirs) or len(ours) < 2:
        return "not paired: no values of single examples"
    apart = ours - theirs
    over = f"{len(apart)} examples"
    if max(len(row.values), len(best.values)) > 1:
        over += f", means of {len(row.values)} and {len(best.values)} runs"
    return _interval(float(apart.mean()), float(apart.var(ddof=1)) / len(apart), len(apart) - 1, level, over)


def _between_runs(row: Row, best: Row, level: float) -> Difference | str:
    """Paired by their seeds if these choose the data, and both have the same; else as two independent samples."""
    ours, theirs = _by_seeds_of_data(row), _by_seeds_of_data(best)
    if ours.keys() == theirs.keys() and len(ours) == len(row.values) == len(best.values):
        apart = np.array([ours[seed] - theirs[seed] for seed in ours])
        spread, freedom = float(apart.var(ddof=1)) / len(apart), len(apart) - 1.0
        over = f"{len(apart)} pairs of runs"
    else:
        parts = [(float(np.var(each.values, ddof=1)) / len(each.values), len(each.values)) for each in (row, best)]
        spread = sum(part for part, _ in parts)
        # the degrees of freedom of Welch
        freedom = max(1.0, spread**2 / max(sum(part**2 / (n - 1) for part, n in parts), 1e-300))
        over = f"{len(row.values)} and {len(best.values)} runs"
    if spread == 0:
        return f"{digits(row.mean - best.mean)}, without any spread over {over}"
    return _interval(row.mean - best.mean, spread, freedom, level, over)


def _by_seeds_of_data(row: Row) -> dict[tuple, float]:
    """The numbers of a row by the seeds that choose examples, labels or holes: the same are as hard for all models."""
    return {
        tuple(each for each in seeds(run) if each[0].startswith("dataset.")): float(estimate["value"])
        for run, estimate in zip(row.group.runs, row.estimates, strict=True)
        if math.isfinite(estimate["value"])
    }


def _interval(mean: float, variance: float, freedom: float, level: float, over: str) -> Difference:
    from scipy.special import stdtrit  # a fifth of a second

    half = float(stdtrit(freedom, 0.5 + level / 2)) * math.sqrt(variance)
    return Difference(mean, mean - half, mean + half, over)


def _per_example(row: Row) -> np.ndarray | None:
    """What each test example has, (N,), in the mean over the runs, if it is what their numbers were made of."""
    found = []
    for run, estimate in zip(row.group.runs, row.estimates, strict=True):
        values = run.values.get(key(estimate))
        if values is None or not math.isclose(values.mean(), estimate["value"], rel_tol=1e-3, abs_tol=1e-3):
            return None
        found.append(values.astype(np.float64))
    return np.mean(found, 0) if len({len(values) for values in found}) == 1 else None
