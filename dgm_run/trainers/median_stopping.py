"""Median stopping: ends a job of a sweep that is worse than the median of the others.

Source: D. Golovin et al., Google Vizier: a service for black-box optimization, 2017, section 3.2.2 (the median rule).
"""

import json
import math
from pathlib import Path
from statistics import median

import yaml

MIN_OTHER_RUNS = 4
"""Smallest number of other runs whose median is compared."""


class MedianStopping:
    """Median stopping rule, from the metrics of the other runs in the folder of a sweep.

    Args:
        folder: folder of this run, a job of the sweep.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def read_best_values(self, name: str, epoch: int) -> list[float]:
        """Reads the best value of `name` up to `epoch` in every other run that has reached it."""
        if not (self.folder.parent / "multirun.yaml").exists():
            return []  # not a sweep: neighbouring folders are unrelated
        others = [path for path in self.folder.parent.glob("*/metrics.jsonl") if path.parent != self.folder]
        others = [path for path in others if _read_task(path.parent) == _read_task(self.folder)]
        values = [_read_best_value(path, name, epoch) for path in sorted(others)]
        return [value for value in values if value is not None]

    def should_stop(self, name: str, epoch: int, best: float) -> bool:
        """Returns whether this run's `best` is below the median of the others' best values up to `epoch`."""
        others = self.read_best_values(name, epoch)
        return len(others) >= MIN_OTHER_RUNS and best < median(others)


def is_decision_epoch(epoch: int, before: int, first: int) -> bool:
    """Returns whether `first` epochs, or two, four, ... times as many, lie in (before, epoch]."""
    return _count_decisions(epoch, first) > _count_decisions(before, first)


def _count_decisions(epoch: int, first: int) -> int:
    return 0 if epoch < first else 1 + int(math.log2(epoch // first))


def _read_task(folder: Path) -> object:
    """Reads data set and objective of a run without their seeds; None where they cannot be read.

    Validation values of runs with equal tasks are comparable.
    """
    try:
        config = yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())
        parts = (config["dataset"], config["objective"])
        return [{key: value for key, value in part.items() if not key.endswith("seed")} for part in parts]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return None


def _read_best_value(path: Path, name: str, epoch: int) -> float | None:
    """Reads the best value of `name` up to `epoch` from a file of metrics; None if the run has not reached it."""
    best = -math.inf
    has_reached = False
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        try:
            row = json.loads(line)
            row_epoch = row["epoch"]
            value = row["value"] if row["name"] == name else -math.inf
        except (ValueError, KeyError, TypeError):
            continue  # an unfinished line, which is being written
        has_reached = has_reached or row_epoch >= epoch
        if row_epoch <= epoch:
            best = max(best, value)
    return best if has_reached and best > -math.inf else None
