"""Values of a trial of a search, read from the folder of its run."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgm_run.errors import CheckpointError, ConfigError
from dgm_run.runner import results

TRAINING_OBJECTIVES = ("best", "seconds", "examples_per_second")
"""Objectives that are fields of `training` in results.json."""

OBJECTIVES = (*TRAINING_OBJECTIVES, "parameters")
"""Objectives that results.json holds. A validation quantity, as in valid/kl, is an objective too."""

DIRECTIONS = ("maximize", "minimize")


@dataclass(frozen=True)
class TrialOutcome:
    """End of a trial.

    Attributes:
        values: value of each objective, in their order; None for a failed trial.
        is_pruned: whether the pruner ended the run.
        reason: reason of the failure; empty without one.
    """

    values: list[float] | None
    is_pruned: bool = False
    reason: str = ""


def check_objectives(objectives: Mapping[str, Any]) -> dict[str, str]:
    """Returns the objectives with their directions, without those that are null.

    Raises:
        ConfigError: there is none, or one of them is unknown or has no direction.
    """
    chosen = {name: direction for name, direction in objectives.items() if direction is not None}
    for name, direction in chosen.items():
        if name not in OBJECTIVES and not name.startswith("valid/"):
            raise ConfigError(
                f"hydra.sweeper.objectives.{name}: there is no such objective: choose one of {', '.join(OBJECTIVES)}, "
                "or a validation quantity as in valid/kl"
            )
        if direction not in DIRECTIONS:
            raise ConfigError(f"hydra.sweeper.objectives.{name}={direction}: write maximize or minimize")
    if not chosen:
        raise ConfigError("hydra.sweeper.objectives: none is left: keep one, as in {best: maximize}")
    return chosen


def read_outcome(folder: Path, objectives: Sequence[str]) -> TrialOutcome:
    """Reads how a trial ended. A run without results has failed, whatever ended it.

    Args:
        folder: folder of the run.
        objectives: names of the objectives.
    """
    try:
        contents = results.read(folder / "results.json")
        values = [_read_value(folder, contents, name) for name in objectives]
    except (CheckpointError, ConfigError) as error:
        return TrialOutcome(None, reason=_read_reason(folder) or str(error))
    if not all(map(math.isfinite, values)):
        return TrialOutcome(None, reason=f"its values are not finite: {values}")
    return TrialOutcome(values, is_pruned=contents["training"].get("stopped_by") == "pruning")


def _read_value(folder: Path, contents: Mapping[str, Any], name: str) -> float:
    training = contents["training"]
    if name.startswith("valid/") and name != training.get("monitor"):
        return _read_metric(folder, name, training["best_epoch"])
    key = "best" if name.startswith("valid/") else name
    return float(contents["parameters"] if key == "parameters" else training[key])


def _read_metric(folder: Path, name: str, epoch: int) -> float:
    """Reads a validation quantity at the epoch of the best validation."""
    values: dict[str, float] = {}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["epoch"] == epoch and row["name"].startswith("valid/"):
            values[row["name"]] = float(row["value"])
    if name not in values:
        raise ConfigError(f"hydra.sweeper.objectives: the run has no {name}: choose one of {', '.join(values)}")
    return values[name]


def _read_reason(folder: Path) -> str:
    """Reads why a run failed; empty where it left no reason, because it was killed."""
    try:
        return (folder / "error.txt").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
