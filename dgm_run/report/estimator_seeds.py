"""Evaluations of one run under several seeds of an estimator: one mean, or rows of a table."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from dgm_run.estimators.intervals import Margin, clip_interval
from dgm_run.estimators.pooling import Number, merge_warnings, pool
from dgm_run.recording.estimate_id import values_key
from dgm_run.report.differences import add_differences
from dgm_run.report.groups import Group
from dgm_run.report.rows import NUM_SEEDS, Row
from dgm_run.report.runs import Run
from dgm_run.report.tables import EstimateSpec, published_of, spec_of

EstimatorSeeds = Literal["separate", "pool", "compare"]
"""What a report makes of evaluations of one run that differ by the seed of the estimator."""
SEED = "seed"
"""Among the settings of an estimate the seed of its estimator; 0 where it is left out."""


def pool_seeds(run: Run) -> Run:
    """Returns a run whose estimates by several seeds are their means, and none has a seed among its settings."""
    estimates, values = [], dict(run.values)
    for same in _by_seed(run).values():
        rows = _independent(same)
        pooled = _without_seed(rows[0])
        arrays = [run.values.get(values_key(row)) for row in rows]
        if len(rows) > 1:
            pooled |= _mean(rows, arrays)
        known = [array for array in arrays if array is not None]
        if len(known) == len(arrays) and len({len(array) for array in known}) == 1:
            values[values_key(pooled)] = np.stack(known).mean(0, dtype=np.float64)
        estimates.append(pooled)
    return replace(run, results={**run.results, "estimates": estimates}, values=values)


def compare_seeds(groups: Sequence[Group]) -> Iterator[tuple[EstimateSpec, list[Row]]]:
    """Yields a table for each number that a run has under several seeds: a row for each, the lowest first."""
    for group in groups:
        for run in group.runs:
            for way, rows in _by_seed(run).items():
                if len({row["value"] for row in rows}) > 1:  # what no draws go into is always the same
                    told = published_of(way, [run])
                    found = [Row(Group({"estimator seed": _seed(row)}, [run], (), {}), [row], "", told) for row in rows]
                    yield replace(way, run=run.name), add_differences(found, of_one_run=True)


def _by_seed(run: Run) -> dict[EstimateSpec, list[Mapping[str, Any]]]:
    """The estimates of a run by how they were found but for the seed, the lowest seed first."""
    found: dict[EstimateSpec, list[Mapping[str, Any]]] = {}
    for row in run.results["estimates"]:
        found.setdefault(spec_of(run, _without_seed(row)), []).append(row)
    return {way: sorted(rows, key=_seed) for way, rows in found.items()}


def _seed(row: Mapping[str, Any]) -> int:
    seed = row["settings"].get(SEED)
    return seed if isinstance(seed, int) else 0


def _seeds(row: Mapping[str, Any]) -> range:
    """All seeds of an evaluation with repeats, each of which takes the seed that follows."""
    repeats = row["settings"].get("repeats")
    return range(_seed(row), _seed(row) + (repeats if isinstance(repeats, int) else 1))


def _independent(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Leaves out evaluations that repeat a seed of one before them: their draws are the same."""
    found: list[Mapping[str, Any]] = []
    for row in rows:
        if not any(set(_seeds(row)) & set(_seeds(other)) for other in found):
            found.append(row)
    return found


def _without_seed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "settings": {name: value for name, value in row["settings"].items() if name != SEED}}


def _mean(rows: Sequence[Mapping[str, Any]], arrays: Sequence[np.ndarray | None]) -> dict[str, Any]:
    """Fields of the mean of estimates of one model by independent computing."""
    errors = ("stderr", "interval", "computing_interval")
    found = pool([Number(float(row["value"]), *map(row.get, errors)) for row in rows], _scatter(arrays))
    intervals = {name: getattr(found, name) for name in ("interval", "computing_interval")}
    if limits := rows[0].get("limits"):
        intervals = {name: each and clip_interval(each, limits) for name, each in intervals.items()}
    return {
        **found._asdict(),
        **intervals,
        "warning": merge_warnings(row.get("warning") for row in rows),
        "seconds": sum(row.get("seconds") or 0.0 for row in rows),
        NUM_SEEDS: sum(len(_seeds(row)) for row in rows),
    }


def _scatter(arrays: Sequence[np.ndarray | None]) -> Margin | None:
    """Margin of the mean over examples of their mean values."""
    lengths = {0 if array is None else len(array) for array in arrays}
    if len(lengths) > 1 or max(lengths) < 2:
        return None
    num = max(lengths)
    means = np.stack([array for array in arrays if array is not None]).mean(0, dtype=np.float64)
    stderr = float(means.std(ddof=1)) / math.sqrt(num)
    return Margin.student(stderr, num - 1)
