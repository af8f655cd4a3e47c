"""Loads the results of a finished run, or the checkpoint that a run resumes from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgm_run.config.commands import join_for_shell
from dgm_run.config.overrides import write_override
from dgm_run.config.start import make_start, write_start
from dgm_run.errors import CheckpointError
from dgm_run.recording.base import Display
from dgm_run.recording.checkpoint import Checkpoints, Snapshot
from dgm_run.runner import results, run_folder
from dgm_run.runner.assemble import get_data_source


def load_results_or_checkpoint(
    config: dict[str, Any],
    checkpoints: Checkpoints,
    folder: Path,
    start: Mapping[str, Any] | None,
    display: Display,
) -> tuple[dict[str, Any] | None, Snapshot | None]:
    """Loads the results of a finished run, or the checkpoint to resume from.

    Args:
        config: configuration, resolved.
        checkpoints: checkpoints of the run.
        folder: folder of the run.
        start: fields of `start.Start`, which a new run writes into its folder; None for none.
        display: shows warnings about damaged checkpoints.

    Returns:
        The contents of results.json or None, and the checkpoint or None. Both are None for a new run.

    Raises:
        CheckpointError: the folder holds another run, or no checkpoint.
    """
    if config["trainer"]["resume"] == "auto":
        finished_results = _load_finished_results(config, checkpoints, folder)
        if finished_results:
            run_folder.save_config(folder, _read_config(checkpoints, config))  # Hydra has overwritten the file
            return finished_results, None
    return None, _load_checkpoint(config, checkpoints, folder, start, display)


def _load_finished_results(config: dict[str, Any], checkpoints: Checkpoints, folder: Path) -> dict[str, Any] | None:
    """Reads the results of a finished run with the same configuration, even if its checkpoints are gone.

    A damaged checkpoint or a failed estimator gives None, because the run then has work to do.
    """
    former = read_former_results(folder)
    if former is None or former.get("failed_estimators"):
        return None
    try:
        is_damaged = checkpoints.exists("last") and bool(checkpoints.load("best")[2])
    except CheckpointError:
        return None
    has_same_config = former.get("configuration") == run_folder.config_hash(config)
    has_same_path = former.get("data_path") == get_data_source(config).get("path")  # another path may hold other data
    return former if has_same_config and has_same_path and not is_damaged else None


def _read_config(checkpoints: Checkpoints, config: dict[str, Any]) -> dict[str, Any]:
    """Reads the configuration of the last checkpoint; returns that of this command if there is no whole checkpoint."""
    try:
        return checkpoints.load("last")[1]["config"]
    except CheckpointError:
        return config


def read_former_results(folder: Path) -> dict[str, Any] | None:
    """Reads results.json of an earlier command; None if it is missing or damaged."""
    try:
        return results.read(folder / "results.json")
    except CheckpointError:
        return None


def _load_checkpoint(
    config: dict[str, Any],
    checkpoints: Checkpoints,
    folder: Path,
    start: Mapping[str, Any] | None,
    display: Display,
) -> Snapshot | None:
    """Loads the checkpoint to resume from; None for a new run, whose configuration it writes."""
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
            write_start(folder, make_start(start))
        return None
    weights, state, damaged = checkpoints.load("last")
    for line in damaged:
        display.say(f"{line}; its predecessor is used")
    if wanted is None:
        run_folder.save_config(folder, state["config"])  # this command has overwritten it
        added = join_for_shell(write_override("trainer.resume", os.path.abspath(folder)))
        raise CheckpointError(f"{folder} holds a run: add {added} to resume it, or choose another folder")
    reason = run_folder.describe_config_change(state["config"], config)
    if reason:
        run_folder.save_config(folder, state["config"])
        raise CheckpointError(f"trainer.resume: {reason}")
    return Snapshot(weights, state)
