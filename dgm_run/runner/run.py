"""Carries out a run: configuration -> data -> model and objective -> trainer -> estimators -> results."""

import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from dgm_run.config.compose import as_config, resolve_data_paths
from dgm_run.config.validate import validate
from dgm_run.distributed import process_group
from dgm_run.distributed.device import select_device, set_threads
from dgm_run.distributed.ranks import is_worker
from dgm_run.distributed.signals import Interrupted, StopRequest
from dgm_run.errors import CheckpointError, ResultsError
from dgm_run.memory import out_of_memory
from dgm_run.recording.base import Display, Log
from dgm_run.recording.checkpoint import Checkpoints, Snapshot
from dgm_run.recording.hparams import select_hparams
from dgm_run.recording.log import RunLog
from dgm_run.recording.logged_run import LoggedRun
from dgm_run.recording.silent import NoCheckpoints, SilentLog
from dgm_run.runner import run_folder
from dgm_run.runner.assemble import Parts, assemble_parts, describe_parts, get_data_source
from dgm_run.runner.begin import begin_run
from dgm_run.runner.compatibility import refuse_moved_data
from dgm_run.runner.evaluate import Evaluation, evaluate_test_set, name_scalars, report_failure
from dgm_run.runner.finish import finish_run
from dgm_run.runner.gallery import Gallery
from dgm_run.runner.pruning import open_pruning
from dgm_run.runner.resume import load_results_or_checkpoint
from dgm_run.runner.session import describe_session
from dgm_run.runner.usage import UsageMeter
from dgm_run.runner.workers import describe_finished, has_to_start_workers, open_run, train_with_workers
from dgm_run.trainers.base import RunContext, TrainingSummary
from dgm_run.trainers.median_stopping import MedianStopping


def run(
    cfg: DictConfig,
    run_dir: str | os.PathLike,
    command: str = "the same with trainer.resume=auto",
    start: Mapping[str, Any] | None = None,
    is_trial: bool = False,
) -> dict[str, Any]:
    """Trains and evaluates the model that `cfg` describes, and writes everything into `run_dir`.

    Args:
        cfg: configuration, from `compose` or the command line.
        run_dir: folder of the run; locked while the run lasts.
        command: command that resumes the run, for messages.
        start: fields of `start.Start`, which the folder keeps for that command.
        is_trial: whether a search has started the run, and may end it by its pruner.

    Returns:
        The contents of results.json. Its `failed_estimators` gives the reason by the estimator's name.

    Raises:
        UserError: the configuration, the data or a checkpoint cannot be used; one line says why.
        Interrupted: a signal stopped the run after its checkpoint was written, or came at its end.
    """
    cfg = deepcopy(cfg)  # building the parts changes it
    resolve_data_paths(cfg, os.getcwd())
    validate(cfg)
    if has_to_start_workers(cfg):
        return train_with_workers(cfg, run_dir, command, start, is_trial, _run_yaml)
    try:
        with open_run(cfg, Path(run_dir)) as (display, stop):
            contents = _run(cfg, Path(run_dir), command, start, is_trial, display, stop)
    except Interrupted as stopped:
        raise Interrupted(stopped.signum, f"{stopped.message}; to resume: {command}") from None
    except ResultsError as error:
        raise ResultsError(f"{error}; to resume: {command}") from None
    if stop and not is_worker():  # the signal came too late for this run, but a sweep must not go on
        raise Interrupted(stop.signum, f"{run_dir} holds the finished run")
    return contents


def _run_yaml(text: str, run_dir: str, command: str, start: Mapping[str, Any] | None, is_trial: bool) -> dict[str, Any]:
    """Calls `run` in a worker process, which receives the configuration as YAML."""
    return run(as_config(OmegaConf.create(text)), run_dir, command, start, is_trial)


def _run(
    cfg: DictConfig,
    folder: Path,
    command: str,
    start: Mapping[str, Any] | None,
    is_trial: bool,
    display: Display,
    stop: StopRequest,
) -> dict[str, Any]:
    config = run_folder.resolve_config(cfg)
    checkpoints = Checkpoints(folder / "checkpoints")
    finished_results, resume = process_group.broadcast_from_main(
        lambda: load_results_or_checkpoint(config, checkpoints, folder, start, display)
    )
    if finished_results:
        display.say(describe_finished(folder))
        return finished_results
    display.open_log(folder, "training")
    if resume:
        refuse_moved_data(get_data_source(cfg), command)

    device = select_device(cfg.trainer.device, cfg.trainer.devices)
    meter = UsageMeter(device)
    parts = assemble_parts(cfg, device, resume)
    _check_trainer(parts, folder, resume)
    session = describe_session(device)
    begin_run(parts, config, folder, session, start, resume, display)
    display.say(describe_parts(parts, device, folder))

    log = _open_log(parts, config, folder, display, resume)
    store = checkpoints if process_group.is_main_process() else NoCheckpoints()
    context = RunContext(
        *(config["seed"], store, log, display, stop, MedianStopping(folder), parts.callbacks, folder),
        open_pruning(folder) if is_trial else None,
        _make_gallery(parts, log, display, config["seed"]),
        *(config, resume),
    )
    try:
        summary, evaluation = _train_and_evaluate(parts, context, log, display)
    finally:
        log.close()
        if process_group.is_main_process():  # a refused second command in this folder may have overwritten it
            with report_failure(display, f"{run_folder.config_path(folder)}: writing the configuration"):
                run_folder.save_config(folder, config)
    return finish_run(parts, config, folder, summary, evaluation, session | meter.read(), display)


def _check_trainer(parts: Parts, folder: Path, resume: Snapshot | None) -> None:
    """Refuses numbers of epochs that cannot be trained, and restores the configuration of a resumed run."""
    try:
        parts.trainer.check(parts.model, len(parts.data.train), resume.state if resume else None)
    except CheckpointError:
        if resume and process_group.is_main_process():
            run_folder.save_config(folder, resume.state["config"])  # this command has overwritten it
        raise


def _make_gallery(parts: Parts, log: Log, display: Display, seed: int) -> Callable[[int, int], None]:
    """Returns a function that draws and logs the pictures of the model at (step, epoch), and reports a failure."""
    gallery = Gallery(parts.model, parts.data, log, seed)

    def draw(step: int, epoch: int) -> None:
        if process_group.is_main_process():
            with report_failure(display, f"pictures after epoch {epoch}"):
                gallery(step, epoch)

    return draw


def _train_and_evaluate(
    parts: Parts, context: RunContext, log: Log, display: Display
) -> tuple[TrainingSummary, Evaluation]:
    """Trains the model, evaluates it on the test data, and logs both."""
    model = parts.model
    data = parts.data
    config = context.config
    settings = config["trainer"]
    batch_key = "batch_size" if "batch_size" in settings else "eval_batch_size"

    def show(name: str, picture: np.ndarray) -> None:
        log.picture(name, picture, summary.steps, f"epoch_{summary.epochs:04}.png")

    try:
        with out_of_memory(f"lower trainer.{batch_key}={settings[batch_key]} or the size of the model"):
            summary = parts.trainer.fit(model, parts.objective, data, context)
        set_threads(model, settings["eval_batch_size"], settings["threads"])
        evaluation = evaluate_test_set(model, parts.estimators, data, context.seed, display, context.stop, show)
        model.eval()
        context.pictures(summary.steps, summary.epochs)
        log.scalars(name_scalars(evaluation.rows), summary.steps, summary.epochs)
        log.end(is_success=True)
    except Interrupted:
        raise
    except Exception:
        log.end(is_success=False)
        raise
    return summary, evaluation


def _open_log(
    parts: Parts, config: dict[str, Any], folder: Path, display: Display, resume: Snapshot | None
) -> Log:  # fmt: skip
    """Opens the log of the run; a resumed run continues after its last logged step."""
    if not process_group.is_main_process():
        return SilentLog()
    step = resume.state["logged_step"] if resume else None
    if resume:
        display.say(f"resuming after step {step}")
    run = LoggedRun(folder, select_hparams(config), step)
    return RunLog(run, parts.loggers, display.say, resume.state["metrics_offset"] if resume else 0)
