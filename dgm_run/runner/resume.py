"""Finds the results or the checkpoint that a run goes on from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgm_run.config import commands
from dgm_run.errors import CheckpointError
from dgm_run.recording.checkpoint import Checkpoints
from dgm_run.recording.terminal import Terminal
from dgm_run.runner import results, run_folder
from dgm_run.runner.assemble import data_source


def find_start(
    config: Mapping[str, Any],
    checkpoints: Checkpoints,
    folder: Path,
    start: Mapping[str, Any] | None,
    display: Terminal,
) -> tuple[dict[str, Any] | None, tuple[dict, dict] | None]:
    """What this run has found, if it has ended, or the checkpoint to go on from, if there is one."""
    if config["trainer"]["resume"] == "auto" and (found := _find_finished_results(config, checkpoints, folder)):
        return found, None
    return None, _find_checkpoint(config, checkpoints, folder, start, display)


def _find_finished_results(config: Mapping[str, Any], checkpoints: Checkpoints, folder: Path) -> dict[str, Any] | None:
    """What a run with this very configuration has found, if it has ended; its checkpoints may be gone."""
    found = read_former_results(folder)
    if found is None:
        return None
    try:
        damaged = checkpoints.exists("last") and checkpoints.load("best")[2]
    except CheckpointError:
        return None
    is_same = found.get("configuration") == run_folder.config_hash(config)
    is_same &= found.get("data_path") == data_source(config).get("path")  # elsewhere may lie other data
    return found if is_same and not damaged and not found.get("failed_estimators") else None


def read_former_results(folder: Path) -> dict[str, Any] | None:
    try:
        return results.read(folder / "results.json")
    except CheckpointError:
        return None


def _find_checkpoint(
    config: Mapping[str, Any],
    checkpoints: Checkpoints,
    folder: Path,
    start: Mapping[str, Any] | None,
    display: Terminal,
) -> tuple[dict, dict] | None:
    """The checkpoint to go on from, as (weights, state); None for a fresh run."""
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
        raise CheckpointError(f"{folder} holds a run: add {added} to go on, or choose another folder")
    reason = run_folder.why_another(state["config"], config)
    if reason:
        run_folder.save_config(folder, state["config"])
        raise CheckpointError(f"trainer.resume: {reason}")
    return weights, state
