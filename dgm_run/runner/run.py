"""The road of a run: config -> data -> model and objective -> trainer -> estimators -> results."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import nn

from dgm_run import rng
from dgm_run.config import commands
from dgm_run.config.compose import instantiate, resolve_data_paths, validate
from dgm_run.data.dataset import Dataset, LoadedDataset
from dgm_run.data.text import Sentences
from dgm_run.distributed import process_group
from dgm_run.distributed.device import move_to_device, refuse_too_many, select_device
from dgm_run.distributed.ranks import is_worker
from dgm_run.distributed.signals import Interrupted, StopRequest, stop_requests
from dgm_run.errors import CheckpointError, ConfigError, DataError, ResultsError, TrainingError
from dgm_run.estimators.base import Estimator
from dgm_run.memory import out_of_memory
from dgm_run.models.base import GenerativeModel
from dgm_run.models.corrupted import Corrupted, corrupted
from dgm_run.objectives.base import Objective
from dgm_run.recording.checkpoint import Checkpoints
from dgm_run.recording.hparams import hparams
from dgm_run.recording.image_grid import save_png
from dgm_run.recording.log import RunLog
from dgm_run.recording.output import guarded
from dgm_run.recording.terminal import RUN_LOG, Terminal, conclusion, describe_doubts, failures
from dgm_run.runner import results, run_folder
from dgm_run.runner.compatibility import (
    refuse_moved_data,
    refuse_needing_complete,
    refuse_other_data,
    refuse_out_of_reach,
    refuse_wrong_kind,
)
from dgm_run.runner.evaluate import Evaluation, announce, evaluate_test_set, scalar_names
from dgm_run.runner.gallery import Gallery
from dgm_run.runner.run_folder import VOCABULARY
from dgm_run.runner.run_lock import lock_run_folder
from dgm_run.trainers.base import RunContext, Trainer
from dgm_run.trainers.initialize import initialize
from dgm_run.trainers.median_stopping import MedianStopping

LARGE_MODEL = "the model is too large: lower model.latent_dim or the sizes of its layers"
LARGE_DATA = "the data set is too large: take fewer examples of it"


def run(
    cfg: DictConfig,
    run_dir: str | os.PathLike,
    command: str = "the same with trainer.resume=auto",
    start: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Trains and evaluates what `cfg` describes, and leaves everything in `run_dir`.

    Args:
        cfg: from `compose` or the command line.
        run_dir: the run's folder; locked while the run lasts.
        command: how to go on with it, for the hint when it is stopped.
        start: the fields of `commands.Start`, which the folder keeps for the command to go on.

    Returns:
        The contents of results.json. Its `failed_estimators` names those that found nothing, with the reason.

    Raises:
        UserError: the configuration, the data or a checkpoint cannot be used; one line says why.
        Interrupted: a signal stopped the run after its checkpoint was written.
    """
    cfg = deepcopy(cfg)  # which building would change
    resolve_data_paths(cfg, os.getcwd())
    validate(cfg)
    if _starts_others(cfg):
        return _relaunched(cfg, run_dir, command, start)
    try:
        with _at_work(cfg, Path(run_dir)) as (display, stop):
            return _run(cfg, Path(run_dir), command, start, display, stop)
    except Interrupted as stopped:
        hint = f"{stopped.message}; to go on: {command}"
        raise Interrupted(stopped.signum, hint) from None
    except ResultsError as error:
        raise ResultsError(f"{error}; to go on: {command}") from None


def evaluate(cfg: DictConfig, run_dir: str | os.PathLike, packages: Sequence[str] = ()) -> dict[str, Any]:
    """Evaluates a finished run again with the estimators of `cfg`, and adds what they find to its results.json.

    Args:
        cfg: that of the run, but for what a resumed run may change as well, the estimators among it.
        run_dir: its folder; locked meanwhile.
        packages: further packages that the model may be built from, as `load` takes them.

    Returns:
        The contents of results.json: of two estimates by the same estimator with the same settings the new one.

    Raises:
        UserError: the folder holds no finished run, or one of another configuration; one line says why.
        Interrupted: a signal stopped it; results.json is as it was.
    """
    cfg = deepcopy(cfg)  # which building would change
    resolve_data_paths(cfg, os.getcwd())
    commands.make_importable(packages)
    validate(cfg)
    if _starts_others(cfg):
        from dgm_run.distributed.launch import launch_workers

        refuse_too_many(cfg.trainer.device, cfg.trainer.devices)
        _finished(cfg, Path(run_dir))
        text = OmegaConf.to_yaml(cfg)
        return launch_workers(cfg.trainer.devices, _evaluate_of, text, os.fspath(run_dir), list(packages))
    with _at_work(cfg, Path(run_dir)) as (display, stop):
        return _evaluate_again(cfg, Path(run_dir), packages, display, stop)


def _starts_others(cfg: DictConfig) -> bool:
    return cfg.trainer.devices > 1 and not is_worker()


def _relaunched(
    cfg: DictConfig, run_dir: str | os.PathLike, command: str, start: Mapping[str, Any] | None
) -> dict[str, Any]:
    """A run by several processes; where one dies, all go on from the last checkpoint."""
    refuse_too_many(cfg.trainer.device, cfg.trainer.devices)
    folder = Path(run_dir)
    _built(deepcopy(cfg))  # what does not fit is refused here: processes take seconds to start
    with lock_run_folder(folder):
        checkpoints = Checkpoints(folder / "checkpoints")
        found, _ = _begun(run_folder.resolve_config(cfg), checkpoints, folder, start, process_group.null_sink(Terminal))
    if found:
        Terminal().say(_nothing_left(folder))
        return found

    from dgm_run.distributed.launch import MAX_RESTARTS, launch_workers  # its import takes a second

    for tries_left in range(MAX_RESTARTS, -1, -1):
        try:
            return launch_workers(
                cfg.trainer.devices, _run_of, OmegaConf.to_yaml(cfg), os.fspath(run_dir), command, start
            )
        except Interrupted as stopped:
            if "to go on: " in stopped.message:
                raise
            raise Interrupted(stopped.signum, f"{stopped.message}; to go on: {command}") from None
        except process_group.WorkerDied as death:
            if not tries_left:
                raise TrainingError(f"{death}, after {MAX_RESTARTS} other tries; to go on: {command}") from None
            display = Terminal()
            if (folder / RUN_LOG).exists():
                display.open_log(folder, session=None)
            display.say(f"{death}: all go on from the last checkpoint ({tries_left} tries left)")
        cfg = _config_of(OmegaConf.merge(cfg, {"trainer": {"resume": "auto"}}))
    raise AssertionError("the last try returns or raises")


def _run_of(text: str, run_dir: str, command: str, start: Mapping[str, Any] | None) -> dict[str, Any]:
    """`run` of a configuration as text."""
    return run(_config_of(OmegaConf.create(text)), run_dir, command, start)


def _evaluate_of(text: str, run_dir: str, packages: Sequence[str]) -> dict[str, Any]:
    """`evaluate` of a configuration as text."""
    return evaluate(_config_of(OmegaConf.create(text)), run_dir, packages)


def _config_of(node: DictConfig | ListConfig) -> DictConfig:
    assert isinstance(node, DictConfig)
    return node


@contextmanager
def _at_work(cfg: DictConfig, folder: Path) -> Iterator[tuple[Terminal, StopRequest]]:
    """This process, alone or with others, in a run folder that one of them holds."""
    with (
        guarded(),
        process_group.open_process_group(cfg.trainer.devices, cfg.trainer.worker_timeout_seconds),
        stop_requests() as stop,
    ):
        if not process_group.is_main_process():
            yield process_group.null_sink(Terminal), stop
            return
        display = Terminal()
        with lock_run_folder(folder), display.at_work():
            yield display, stop


def _evaluate_again(
    cfg: DictConfig, folder: Path, packages: Sequence[str], display: Terminal, stop: StopRequest
) -> dict[str, Any]:
    found = _finished(cfg, folder)
    refuse_moved_data(_source(cfg), commands.evaluate_run(folder))
    device = select_device(cfg.trainer.device, cfg.trainer.devices)
    model, dataset = run_folder.load(folder, packages), instantiate(cfg.dataset)
    estimators = _estimators(cfg)
    refuse_wrong_kind(model, estimators, dataset)
    with out_of_memory(LARGE_MODEL):
        _place(model, device, cfg)
    with out_of_memory(LARGE_DATA):
        data = process_group.main_process_first(lambda: dataset.load(device))
    refuse_needing_complete(model, dataset, estimators)
    refuse_other_data(found["preprocessing"], dataset)
    for estimator in estimators.values():
        estimator.check(model, data)
    display.open_log(folder, "evaluation of the best checkpoint")

    def show(name: str, picture: np.ndarray) -> None:
        if process_group.is_main_process():
            save_png(picture, folder / name / "evaluated.png")

    evaluation = evaluate_test_set(model, estimators, data, cfg.seed, display, stop, show)
    if not process_group.is_main_process():
        return found
    merge = results.describe_merge(found["estimates"], evaluation.rows, folder / "results.json")
    _add(found, evaluation, estimators, found)

    def notes() -> list[str]:
        return [*failures(evaluation.failed, folder), *describe_doubts(evaluation.rows), *merge]

    _write(folder, found, evaluation, display, notes)
    return found


def _add(
    found: dict[str, Any], evaluation: Evaluation, estimators: Mapping[str, Estimator], before: Mapping[str, Any]
) -> None:  # fmt: skip
    """Brings the estimates that were there before and the new ones together in `found`."""
    found["estimates"] = results.merge_estimates(before["estimates"], evaluation.rows)
    failed_before = before.get("failed_estimators", {})
    kept = {name: why for name, why in failed_before.items() if name not in estimators}
    found["failed_estimators"] = kept | evaluation.failed


def _write(
    folder: Path, found: dict[str, Any], evaluation: Evaluation, display: Terminal, notes: Callable[[], Sequence[str]]
) -> None:  # fmt: skip
    """Writes what was found, and shows it in any case: `notes` make the lines below its table.

    Raises:
        ResultsError: results.json cannot be written, and the training is kept.
        TrainingError: nothing can be written.
    """
    with announce(display, f"{folder / 'values.npz'}: writing the values of single examples"):
        results.write_values(folder / "values.npz", found["estimates"], evaluation.values)
    try:
        results.write(folder / "results.json", found)
    except OSError as error:
        notes = list
        told = f"cannot write {folder / 'results.json'} ({error.strerror or error})"
        if not (folder / "checkpoints" / "last").is_dir():
            raise TrainingError(f"{told}, nor any checkpoint: make room, and start the run again") from None
        raise ResultsError(f"{told}; the last checkpoint is kept") from None
    finally:
        lines: Sequence[str] = []
        with announce(display, "the summary of the run"):
            lines = notes()
        with announce(display, "the table of estimates"):
            display.estimates(evaluation.rows, "Estimates per example", lines)


def _finished(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """The results of a run that is to be evaluated again; refuses one of another configuration."""
    found = results.read(folder / "results.json")
    changed = run_folder.config_diff(run_folder.saved_config(folder), run_folder.resolve_config(cfg))
    if changed:
        raise ConfigError(f"the run has another configuration: {'; '.join(changed)}")
    return found


def _nothing_left(folder: Path) -> str:
    return f"{folder} holds this run, ended: nothing is left to do"


def _run(
    cfg: DictConfig, folder: Path, command: str, start: Mapping[str, Any] | None, display: Terminal, stop: StopRequest
) -> dict[str, Any]:
    config = run_folder.resolve_config(cfg)
    is_main = process_group.is_main_process()
    checkpoints = Checkpoints(folder / "checkpoints") if is_main else process_group.null_sink(Checkpoints)
    found, resume = process_group.broadcast_from_main(lambda: _begun(config, checkpoints, folder, start, display))
    if found:
        display.say(_nothing_left(folder))
        return found
    display.open_log(folder, "training")
    if resume:
        refuse_moved_data(_source(cfg), command)

    device = select_device(cfg.trainer.device, cfg.trainer.devices)
    trainer, model, objective, estimators, data = _assembled(cfg, device, resume)
    try:
        trainer.check(model, len(data.train), resume and resume[1])
    except CheckpointError:
        if resume and process_group.is_main_process():
            run_folder.save_config(folder, resume[1]["config"])  # as it was before this command
        raise
    if resume and start and process_group.is_main_process():
        commands.move_data(folder, commands.start_from(start))
    if isinstance(data.train, Sentences) and process_group.is_main_process():
        data.train.vocabulary.write(folder / VOCABULARY)
    if process_group.is_main_process():
        data.dataset.preprocessing.write(folder)
    display.say(_introduction(model, data, device, folder))

    log = _open_log(folder, display, resume)
    gallery = Gallery(model, data, log, cfg.seed) if is_main else process_group.null_sink(Gallery)

    def draw(step: int, epoch: int) -> None:
        with announce(display, f"pictures after epoch {epoch}"):
            gallery(step, epoch)

    try:
        log.hparams(hparams(config))
        session = RunContext(cfg.seed, checkpoints, log, display, stop, MedianStopping(folder), draw, config, resume)
        with out_of_memory(f"lower trainer.batch_size={cfg.trainer.batch_size} or the size of the model"):
            summary = trainer.fit(model, objective, data, session)

        def show(name: str, picture: np.ndarray) -> None:
            log.picture(name, picture, summary.steps, f"epoch_{summary.epochs:04}.png")

        evaluation = evaluate_test_set(model, estimators, data, cfg.seed, display, stop, show)
        model.eval()
        draw(summary.steps, summary.epochs)
        log.scalars(scalar_names(evaluation.rows), summary.steps, summary.epochs)
        log.ended(well=True)
    except Interrupted:
        raise
    except Exception:
        log.ended(well=False)
        raise
    finally:
        log.close()
        if process_group.is_main_process():  # a second command in this folder, refused, may have overwritten it
            with announce(display, f"{run_folder.config_path(folder)}: writing the configuration"):
                run_folder.save_config(folder, config)

    choices = {
        "seed": cfg.seed,
        "published": config["published"],
        "configuration": run_folder.config_hash(config),
        "data_path": _source(config).get("path"),
    }
    found = results.results(choices, model, data.dataset, evaluation.rows, summary, evaluation.failed)
    if not process_group.is_main_process():
        return found
    before = _found_before(folder)
    if before and before["training"]["steps"] == summary.steps:  # only evaluated again
        _add(found, evaluation, estimators, before)
    _write(folder, found, evaluation, display, lambda: conclusion(found, folder))
    return found


def _source(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The source of the data in a configuration."""
    return config["dataset"].get("source") or {}


class _Parts(NamedTuple):
    """What a run is made of."""

    trainer: Trainer
    model: GenerativeModel
    objective: Objective
    estimators: dict[str, Estimator]
    data: LoadedDataset


def check(cfg: DictConfig) -> None:
    """Checks a configuration as far as that needs no data: it is valid, and its parts are built and fit.

    Raises:
        UserError: one line says what is wrong.
    """
    cfg = deepcopy(cfg)  # which building would change
    validate(cfg)
    _built(cfg)


def _assembled(cfg: DictConfig, device: torch.device, resume: tuple[dict, dict] | None) -> _Parts:
    """All parts, on the device, as they are before the first step; what does not go together is refused."""
    trainer, model, objective, estimators, dataset = _built(cfg)
    with out_of_memory(LARGE_MODEL):
        _place(model, device, cfg)
    with out_of_memory(LARGE_DATA):
        data = process_group.main_process_first(lambda: dataset.load(device))
    if dataset.preprocessing.has_missing_values and not isinstance(model, Corrupted):
        assert dataset.corrupt is not None  # since values are missing
        model = corrupted(model, dataset.corrupt)
        refuse_needing_complete(model, dataset, {"objective": objective, "trainer": trainer} | estimators)
    refuse_out_of_reach(model, data)
    if resume:
        refuse_other_data(resume[1]["data"], dataset)
    model.eval()
    for estimator in estimators.values():
        estimator.check(model, data)
    model.train()
    rng.reseed(cfg.seed, "initialize")
    with out_of_memory(LARGE_MODEL):
        initialize(model, data.train)
    return _Parts(trainer, model, objective, estimators, data)


def _built(cfg: DictConfig) -> tuple[Trainer, GenerativeModel, Objective, dict[str, Estimator], Dataset]:
    """All parts before the data are read; what does not go together is refused."""
    trainer, dataset = instantiate(cfg.trainer), instantiate(cfg.dataset)
    path = _source(cfg).get("path")
    if path and not Path(path).expanduser().exists():
        raise DataError(f"{path}: there is no such file or folder: set dataset.source.path")
    rng.reseed(cfg.seed, "model")
    with out_of_memory(LARGE_MODEL):
        model, objective, estimators = instantiate(cfg.model), instantiate(cfg.objective), _estimators(cfg)
    refuse_wrong_kind(model, estimators, dataset)
    if dataset.corrupt:
        model = corrupted(model, dataset.corrupt)
    refuse_needing_complete(model, dataset, {"objective": objective, "trainer": trainer} | estimators)
    return trainer, model, objective, estimators, dataset


def _begun(
    config: dict[str, Any],
    checkpoints: Checkpoints,
    folder: Path,
    start: Mapping[str, Any] | None,
    display: Terminal,
) -> tuple[dict[str, Any] | None, tuple[dict, dict] | None]:
    """What this run has found, if it has ended, or the checkpoint to go on from, if there is one."""
    if config["trainer"]["resume"] == "auto" and (found := _ended(config, checkpoints, folder)):
        return found, None
    return None, _find_checkpoint(config, checkpoints, folder, start, display)


def _ended(config: dict[str, Any], checkpoints: Checkpoints, folder: Path) -> dict[str, Any] | None:
    """What a run with this very configuration has found, if it has ended; its checkpoints may be gone."""
    found = _found_before(folder)
    if found is None:
        return None
    try:
        damaged = checkpoints.exists("last") and checkpoints.load("best")[2]
    except CheckpointError:
        return None
    is_same = found.get("configuration") == run_folder.config_hash(config)
    is_same &= found.get("data_path") == _source(config).get("path")  # elsewhere may lie other data
    return found if is_same and not damaged and not found.get("failed_estimators") else None


def _found_before(folder: Path) -> dict[str, Any] | None:
    try:
        return results.read(folder / "results.json")
    except CheckpointError:
        return None


def _find_checkpoint(
    config: dict[str, Any],
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
            commands.write_start(folder, commands.start_from(start))
        return None
    weights, state, damaged = checkpoints.load("last")
    for line in damaged:
        display.say(f"{line}; the one before it is used")
    if wanted is None:
        run_folder.save_config(folder, state["config"])  # as it was before this command
        added = commands.shell(commands.override("trainer.resume", os.path.abspath(folder)))
        raise CheckpointError(f"{folder} holds a run: add {added} to go on, or choose another folder")
    reason = run_folder.why_another(state["config"], config)
    if reason:
        run_folder.save_config(folder, state["config"])
        raise CheckpointError(f"trainer.resume: {reason}")
    return weights, state


def _estimators(cfg: DictConfig) -> dict[str, Estimator]:
    return {name: instantiate(node) for name, node in (cfg.estimators or {}).items()}


def _place(model: nn.Module, device: torch.device, cfg: DictConfig) -> None:
    settings = cfg.trainer
    move_to_device(model, device, settings.precision, settings.threads, settings.batch_size // settings.devices)


def _introduction(model: nn.Module, data: LoadedDataset, device: torch.device, folder: Path) -> str:
    sizes = " + ".join(str(len(split)) for split in (data.train, data.valid, data.test))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    protocol = data.dataset
    scalar_names = (
        f"{type(model).__name__} with {parameters:,} parameters on {device}; {protocol.name}: {sizes} examples, "
        f"binarisation {protocol.protocol}"
    )
    return "\n".join((scalar_names, *protocol.notes, f"writing to {folder}"))


def _open_log(folder: Path, display: Terminal, resume: tuple[dict, dict] | None) -> RunLog:
    if not process_group.is_main_process():
        return process_group.null_sink(RunLog)
    if resume is None:
        return RunLog(folder, display.say)
    state = resume[1]
    display.say(f"going on after step {state['logged_step']}")
    return RunLog(folder, display.say, state["metrics_offset"], purge_step=state["logged_step"] + 1)
