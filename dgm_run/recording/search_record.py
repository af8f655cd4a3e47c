"""Record of a search in the folder of its sweep, search.json, which is read without Optuna."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dgm_run.recording.numbers import is_number

SEARCH_FILE = "search.json"
"""File in the folder of a sweep that lists the trials of its search."""


@dataclass(frozen=True)
class SearchTrial:
    """A trial of a search.

    Attributes:
        number: number of the trial, and name of its folder.
        state: running, complete, pruned or fail.
        params: value of each searched key.
        values: value of each objective; None unless the trial is complete.
    """

    number: int
    state: str
    params: Mapping[str, Any]
    values: Sequence[float] | None


@dataclass(frozen=True)
class SearchRecord:
    """A search.

    Attributes:
        objectives: direction of each objective.
        best: number of the best trial, or numbers of the trials of the Pareto front.
        trials: all trials by number.
    """

    objectives: Mapping[str, str]
    best: Sequence[int]
    trials: Sequence[SearchTrial]

    @property
    def complete(self) -> list[SearchTrial]:
        """Trials with values."""
        return [trial for trial in self.trials if trial.values is not None]


def worker_file(folder: Path, worker: str) -> Path:
    """Returns the file that a worker of the search in a folder locks as long as its process lives."""
    return folder / f".worker_{worker}.lock"


def is_worker_alive(lock: Path) -> bool:
    """Returns whether a process holds the lock of a worker."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def has_live_worker(folder: Path) -> bool:
    """Returns whether a worker of the search in a folder is alive."""
    return any(map(is_worker_alive, folder.glob(worker_file(Path(), "*").name)))


def read_search(folder: Path) -> SearchRecord | None:
    """Reads the record of a search; None where there is none, or where it is damaged."""
    try:
        content = json.loads((folder / SEARCH_FILE).read_text())
        trials = [SearchTrial(**each) for each in content["trials"]]
        record = SearchRecord(dict(content["objectives"]), list(content["best"]), trials)
        names = list(record.objectives)
        is_whole = all(
            len(trial.values or ()) == len(names) and all(map(_is_finite, trial.values or ()))
            for trial in record.complete
        )
        return record if is_whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_finite(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)
