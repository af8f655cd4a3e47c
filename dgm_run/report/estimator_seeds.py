"""Evaluations of one run under several estimator seeds: their mean, or a table that compares them."""

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
from dgm_run.report.tables import EstimateSpec, find_published, make_spec

EstimatorSeeds = Literal["separate", "pool", "compare"]
"""Treatment of evaluations of one run that differ by the seed of the estimator."""
SEED = "seed"
"""Key of the estimator's seed among the settings of an estimate; 0 where it is left out."""


def pool_seeds(run: Run) -> Run:
    """Returns the run with the means of its estimates over estimator seeds, without a seed in their settings."""
    estimates = []
    values = dict(run.values)
    for same in _group_seeds(run).values():
        rows = _drop_shared_draws(same)
        pooled = _drop_seed(rows[0])
        arrays = [run.values.get(values_key(row)) for row in rows]
        if len(rows) > 1:
            pooled |= _average(rows, arrays)
        known = [array for array in arrays if array is not None]
        if len(known) == len(arrays) and len({len(array) for array in known}) == 1:
            values[values_key(pooled)] = np.stack(known).mean(0, dtype=np.float64)
        estimates.append(pooled)
    return replace(run, results={**run.results, "estimates": estimates}, values=values)


def compare_seeds(groups: Sequence[Group]) -> Iterator[tuple[EstimateSpec, list[Row]]]:
    """Yields a table for each number that a run has under several seeds, with a row for each seed, the lowest first."""
    for group in groups:
        for run in group.runs:
            for spec, rows in _group_seeds(run).items():
                if len({row["value"] for row in rows}) > 1:  # equal values need no comparison: there are no draws
                    published = find_published(spec, [run])
                    seed_rows = [
                        Row(Group({"estimator seed": _read_seed(row)}, [run], (), {}), [row], "", published)
                        for row in rows
                    ]
                    yield replace(spec, run=run.name), add_differences(seed_rows, is_of_one_run=True)


def _group_seeds(run: Run) -> dict[EstimateSpec, list[Mapping[str, Any]]]:
    """Groups the estimates of a run that differ by the estimator's seed alone, the lowest seed first."""
    rows_by_spec: dict[EstimateSpec, list[Mapping[str, Any]]] = {}
    for row in run.results["estimates"]:
        rows_by_spec.setdefault(make_spec(run, _drop_seed(row)), []).append(row)
    return {spec: sorted(rows, key=_read_seed) for spec, rows in rows_by_spec.items()}


def _read_seed(row: Mapping[str, Any]) -> int:
    seed = row["settings"].get(SEED)
    return seed if isinstance(seed, int) else 0


def _read_seeds(row: Mapping[str, Any]) -> range:
    """Returns all seeds of an evaluation; each repeat takes the seed that follows."""
    repeats = row["settings"].get("repeats")
    return range(_read_seed(row), _read_seed(row) + (repeats if isinstance(repeats, int) else 1))


def _drop_shared_draws(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Drops evaluations that share a seed, and so their draws, with one before them."""
    kept: list[Mapping[str, Any]] = []
    for row in rows:
        if not any(set(_read_seeds(row)) & set(_read_seeds(other)) for other in kept):
            kept.append(row)
    return kept


def _drop_seed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "settings": {name: value for name, value in row["settings"].items() if name != SEED}}


def _average(rows: Sequence[Mapping[str, Any]], arrays: Sequence[np.ndarray | None]) -> dict[str, Any]:
    """Returns the fields of the mean of estimates of one model by independent draws."""
    errors = ("stderr", "interval", "computing_interval")
    pooled = pool([Number(float(row["value"]), *map(row.get, errors)) for row in rows], _measure_scatter(arrays))
    intervals = {name: getattr(pooled, name) for name in ("interval", "computing_interval")}
    if limits := rows[0].get("limits"):
        intervals = {name: each and clip_interval(each, limits) for name, each in intervals.items()}
    return {
        **pooled._asdict(),
        **intervals,
        "warning": merge_warnings(row.get("warning") for row in rows),
        "seconds": sum(row.get("seconds") or 0.0 for row in rows),
        NUM_SEEDS: sum(len(_read_seeds(row)) for row in rows),
    }


def _measure_scatter(arrays: Sequence[np.ndarray | None]) -> Margin | None:
    """Returns the margin of the mean over examples of their values averaged over the evaluations."""
    lengths = {0 if array is None else len(array) for array in arrays}
    if len(lengths) > 1 or max(lengths) < 2:
        return None
    num = max(lengths)
    means = np.stack([array for array in arrays if array is not None]).mean(0, dtype=np.float64)
    stderr = float(means.std(ddof=1)) / math.sqrt(num)
    return Margin.student(stderr, num - 1)
