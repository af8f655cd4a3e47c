"""The other jobs of a sweep, by which a hopeless one is told early.

Source: D. Golovin et al., Google Vizier: a service for black-box optimization, 2017, section 3.2.2 (the median rule).
"""

import json
import math
from pathlib import Path
from statistics import median

import yaml

MIN_RIVALS = 4
"""Fewer say nothing about what is usual."""


class MedianStopping:
    """What the other runs in the folder of a sweep have logged.

    Args:
        folder: of this run, one of the jobs.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def best_by(self, name: str, epoch: int) -> list[float]:
        """The largest value of `name` that each of the others had by an epoch, of those that have come so far."""
        if not (self.folder.parent / "multirun.yaml").exists():
            return []  # not a sweep: what is beside this run has nothing to do with it
        others = [path for path in self.folder.parent.glob("*/metrics.jsonl") if path.parent != self.folder]
        others = [path for path in others if _measured(path.parent) == _measured(self.folder)]
        found = [_best_by(path, name, epoch) for path in sorted(others)]
        return [value for value in found if value is not None]

    def should_stop(self, name: str, epoch: int, best: float) -> bool:
        """Whether the median of the others had more by an epoch than this run's `best`."""
        others = self.best_by(name, epoch)
        return len(others) >= MIN_RIVALS and best < median(others)


def is_decision_epoch(epoch: int, before: int, first: int) -> bool:
    """Whether `first` epochs, or twice, four times, ... as many, lie in (before, epoch]."""
    return _looks(epoch, first) > _looks(before, first)


def _looks(epoch: int, first: int) -> int:
    return 0 if epoch < first else 1 + int(math.log2(epoch // first))


def _measured(folder: Path) -> object:
    """What decides what a validation quantity means: the data and the objective of a run, seeds apart."""
    try:
        config = yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())
        return [{k: v for k, v in config[part].items() if not k.endswith("seed")} for part in ("dataset", "objective")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return None


def _best_by(path: Path, name: str, epoch: int) -> float | None:
    best = -math.inf
    has_come = False
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        try:
            row = json.loads(line)
            at = row["epoch"]
            value = row["value"] if row["name"] == name else -math.inf
        except (ValueError, KeyError, TypeError):
            continue  # cut short: it is being written
        has_come = has_come or at >= epoch
        if at <= epoch:
            best = max(best, value)
    return best if has_come and best > -math.inf else None
