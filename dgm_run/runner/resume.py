"""Finds the results of a finished run, or the checkpoint that a run resumes from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgm_run.config import commands
from dgm_run.errors import CheckpointError
from dgm_run.recording.base import Display
from dgm_run.recording.checkpoint import Checkpoints
from dgm_run.runner import results, run_folder
from dgm_run.runner.assemble import get_data_source


def find_start(
    config: dict[str, Any],
    checkpoints: Checkpoints,
    folder: Path,
    start: Mapping[str, Any] | None,
    display: Display,
) -> tuple[dict[str, Any] | None, tuple[dict, dict] | None]:
    """Finds the results of a finished run, or the checkpoint to resume from.

    Returns:
        Results or None, and the checkpoint as (weights, state) or None. Both are None for a new run.
    """
    if config["trainer"]["resume"] == "auto" and (found := _find_finished_results(config, checkpoints, folder)):
        kept = checkpoints.load("last")[1]["config"] if checkpoints.exists("last") else config
        run_folder.save_config(folder, kept)  # Hydra has overwritten it by one with references
        return found, None
    return None, _find_checkpoint(config, checkpoints, folder, start, display)


def _find_finished_results(config: dict[str, Any], checkpoints: Checkpoints, folder: Path) -> dict[str, Any] | None:
    """Reads the results of a finished run with the same configuration, even if its checkpoints are gone."""
    found = read_former_results(folder)
    if found is None:
        return None
    try:
        damaged = checkpoints.exists("last") and checkpoints.load("best")[2]
    except CheckpointError:
        return None
    is_same = found.get("configuration") == run_folder.config_hash(config)
    is_same &= found.get("data_path") == get_data_source(config).get("path")  # another path may hold other data
    return found if is_same and not damaged and not found.get("failed_estimators") else None


def read_former_results(folder: Path) -> dict[str, Any] | None:
    """Reads results.json of an earlier command; None if it is missing or damaged."""
    try:
        return results.read(folder / "results.json")
    except CheckpointError:
        return None


def _find_checkpoint(
    config: dict[str, Any],
    checkpoints: Checkpoints,
    folder: Path,
    start: Mapping[str, Any] | None,
    display: Display,
) -> tuple[dict, dict] | None:
    """Loads the checkpoint to resume from, as (weights, state); None for a new run."""
    checkpoints.remove_temporaries()
    wanted = config["trainer"]["resume"]
    if not checkpoints.exists("last"):
        if (folder / "results.json").exists():
            raise CheckpointError(
                f"{folder} holds the results of a run whose checkpoints are gone: choose another folder, or delete it"
            )
        if wanted not in (None, "auto"):
            raise CheckpointError(f"trainer.resume: there is no checkpoint in {folder}: start the run without it")
        run_folder.save_config(folder, config)
        if start:
            commands.write_start(folder, commands.make_start(start))
        return None
    weights, state, damaged = checkpoints.load("last")
    for line in damaged:
        display.say(f"{line}; the one before it is used")
    if wanted is None:
        run_folder.save_config(folder, state["config"])  # as it was before this command
        added = commands.join_for_shell(commands.write_override("trainer.resume", os.path.abspath(folder)))
        raise CheckpointError(f"{folder} holds a run: add {added} to resume it, or choose another folder")
    reason = run_folder.describe_config_change(state["config"], config)
    if reason:
        run_folder.save_config(folder, state["config"])
        raise CheckpointError(f"trainer.resume: {reason}")
    return weights, state
