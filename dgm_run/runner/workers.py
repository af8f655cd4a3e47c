"""Starts the processes of a run, restarts them when one dies, and opens the run folder in each."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dgm_run.config.compose import as_config
from dgm_run.distributed import process_group
from dgm_run.distributed.device import refuse_too_many
from dgm_run.distributed.ranks import is_worker
from dgm_run.distributed.signals import Interrupted, StopRequest, stop_requests
from dgm_run.errors import TrainingError
from dgm_run.recording.base import Display
from dgm_run.recording.checkpoint import Checkpoints
from dgm_run.recording.output import guard_output
from dgm_run.recording.silent import SilentDisplay
from dgm_run.recording.terminal import RUN_LOG, Terminal
from dgm_run.runner import run_folder
from dgm_run.runner.assemble import build_parts
from dgm_run.runner.resume import load_results_or_checkpoint
from dgm_run.runner.run_lock import lock_run_folder


def has_to_start_workers(cfg: DictConfig) -> bool:
    """Returns whether this process has to start several workers, because it is none of them itself."""
    return cfg.trainer.devices > 1 and not is_worker()


def train_with_workers(
    cfg: DictConfig,
    run_dir: str | os.PathLike,
    command: str,
    start: Mapping[str, Any] | None,
    is_trial: bool,
    work: Callable[..., Any],
) -> dict[str, Any]:
    """Trains and evaluates in several processes. When one dies, all of them restart from the last checkpoint.

    Args:
        cfg: configuration, validated.
        run_dir: folder of the run.
        command: command that resumes the run, for messages.
        start: fields of `start.Start`.
        is_trial: whether a search has started the run.
        work: function at the top of a module that carries out the run in each process. It takes the configuration
            as YAML, the folder, `command`, `start` and `is_trial`.

    Returns:
        The contents of results.json.

    Raises:
        TrainingError: a process died after the last restart.
        Interrupted: a signal stopped the run.
    """
    refuse_too_many(cfg.trainer.device, cfg.trainer.devices)
    folder = Path(run_dir)
    build_parts(deepcopy(cfg))  # refuses parts that do not fit here, because processes take seconds to start
    with lock_run_folder(folder):
        checkpoints = Checkpoints(folder / "checkpoints")
        finished_results, _ = load_results_or_checkpoint(
            run_folder.resolve_config(cfg), checkpoints, folder, start, SilentDisplay()
        )
    if finished_results:
        Terminal().say(describe_finished(folder))
        return finished_results

    from dgm_run.distributed.launch import MAX_RESTARTS, launch_workers  # its import takes a second

    for restarts_left in range(MAX_RESTARTS, -1, -1):
        try:
            text = OmegaConf.to_yaml(cfg)
            return launch_workers(cfg.trainer.devices, work, text, os.fspath(run_dir), command, start, is_trial)
        except Interrupted as stopped:
            if "to resume: " in stopped.message:
                raise
            raise Interrupted(stopped.signum, f"{stopped.message}; to resume: {command}") from None
        except process_group.WorkerDied as death:
            if not restarts_left:
                raise TrainingError(f"{death}, after {MAX_RESTARTS} restarts; to resume: {command}") from None
            display = Terminal()
            if (folder / RUN_LOG).exists():
                display.open_log(folder, session=None)
            display.say(f"{death}: all processes restart from the last checkpoint ({restarts_left} restarts left)")
        cfg = as_config(OmegaConf.merge(cfg, {"trainer": {"resume": "auto"}}))
    raise AssertionError("the last pass of the loop returns or raises")


@contextmanager
def open_run(cfg: DictConfig, folder: Path) -> Iterator[tuple[Display, StopRequest]]:
    """Joins the process group and locks the run folder while the block runs.

    Yields:
        The display, silent outside the main process, and the stop request.
    """
    with (
        guard_output(),
        process_group.open_process_group(cfg.trainer.devices, cfg.trainer.worker_timeout_seconds),
        stop_requests() as stop,
    ):
        if not process_group.is_main_process():
            yield SilentDisplay(), stop
            return
        display = Terminal()
        with lock_run_folder(folder), display.capture_messages():
            yield display, stop


def describe_finished(folder: Path) -> str:
    """Writes the message for a run that has finished already."""
    return f"{folder} holds this run, finished: there is nothing to do"
