"""The road of a run: config -> data -> model and objective -> trainer -> estimators -> results."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from dgm_run import machine, parallel, results, rng, run_folder
from dgm_run.checkpoint import Checkpoints
from dgm_run.compatibility import (
    refuse_needing_complete,
    refuse_other_data,
    refuse_out_of_reach,
    refuse_wrong_kind,
)
from dgm_run.config import instantiate, validate
from dgm_run.data.dataset import Dataset, LoadedDataset
from dgm_run.data.text import Sentences
from dgm_run.errors import CheckpointError, ConfigError, TrainingError
from dgm_run.estimators.base import Estimator
from dgm_run.evaluation import evaluated, named
from dgm_run.gallery import Gallery
from dgm_run.hparams import hparams
from dgm_run.images import save_png
from dgm_run.log import RunLog
from dgm_run.models.corrupted import corrupted
from dgm_run.objectives.base import Objective
from dgm_run.progress import Terminal, conclusion
from dgm_run.ranks import is_started
from dgm_run.run_folder import VOCABULARY
from dgm_run.signals import Interrupted, StopRequest, stop_requests
from dgm_run.trainers.base import Session, Trainer
from dgm_run.trainers.initialize import initialize
from dgm_run.trainers.rivals import Rivals


def run(
    cfg: DictConfig, run_dir: str | os.PathLike, command: str = "the same with trainer.resume=auto"
) -> dict[str, Any]:
    """Trains and evaluates what `cfg` describes, and leaves everything in `run_dir`.

    Args:
        cfg: from `compose` or the command line.
        run_dir: the run's folder; locked while the run lasts.
        command: how to go on with it, for the hint when it is stopped.

    Returns:
        The contents of results.json.

    Raises:
        UserError: the configuration, the data or a checkpoint cannot be used; one line says why.
        Interrupted: a signal stopped the run after its checkpoint was written.
    """
    cfg = deepcopy(cfg)  # which building would change
    validate(cfg)
    if _starts_others(cfg):
        return _relaunched(cfg, run_dir, command)
    try:
        with _at_work(cfg, Path(run_dir)) as (display, stop):
            return _run(cfg, Path(run_dir), display, stop)
    except Interrupted as stopped:
        hint = f"{stopped.message}; to go on: {command}"
        raise Interrupted(stopped.signum, hint) from None


def evaluate(cfg: DictConfig, run_dir: str | os.PathLike) -> dict[str, Any]:
    """Evaluates a finished run again with the estimators of `cfg`, and adds what they find to its results.json.

    Args:
        cfg: that of the run, but for what a resumed run may change as well, the estimators among it.
        run_dir: its folder; locked meanwhile.

    Returns:
        The contents of results.json: of two estimates by the same estimator with the same settings the new one.

    Raises:
        UserError: the folder holds no finished run, or one of another configuration; one line says why.
        Interrupted: a signal stopped it; results.json is as it was.
    """
    cfg = deepcopy(cfg)  # which building would change
    validate(cfg)
    if _starts_others(cfg):
        from dgm_run.launch import together

        return together(cfg.trainer.devices, _evaluate_of, OmegaConf.to_yaml(cfg), os.fspath(run_dir))
    with _at_work(cfg, Path(run_dir)) as (display, stop):
        return _evaluate_again(cfg, Path(run_dir), display, stop)


def _starts_others(cfg: DictConfig) -> bool:
    return cfg.trainer.devices > 1 and not is_started()


def _relaunched(cfg: DictConfig, run_dir: str | os.PathLike, command: str) -> dict[str, Any]:
    """A run by several processes; where one dies, all go on from the last checkpoint."""
    from dgm_run.launch import RELAUNCHES, together  # its import takes a second

    # where there is a checkpoint already it may be that of another run, to be left alone
    begins = not (Path(run_dir) / "checkpoints" / "last").exists()
    for tries_left in range(RELAUNCHES, -1, -1):
        try:
            return together(cfg.trainer.devices, _run_of, OmegaConf.to_yaml(cfg), os.fspath(run_dir), command)
        except Interrupted as stopped:
            if "to go on: " in stopped.message:
                raise
            raise Interrupted(stopped.signum, f"{stopped.message}; to go on: {command}") from None
        except parallel.Died as death:
            if not tries_left:
                raise TrainingError(f"{death}, after {RELAUNCHES} other tries; to go on: {command}") from None
            Terminal().say(f"{death}: all go on from the last checkpoint ({tries_left} tries left)")
        if begins or cfg.trainer.resume:
            cfg = OmegaConf.merge(cfg, {"trainer": {"resume": "auto"}})
    raise AssertionError("the last try returns or raises")


def _run_of(text: str, run_dir: str, command: str) -> dict[str, Any]:
    """`run` of a configuration as text."""
    return run(OmegaConf.create(text), run_dir, command)


def _evaluate_of(text: str, run_dir: str) -> dict[str, Any]:
    """`evaluate` of a configuration as text."""
    return evaluate(OmegaConf.create(text), run_dir)


@contextmanager
def _at_work(cfg: DictConfig, folder: Path) -> Iterator[tuple[Terminal, StopRequest]]:
    """This process, alone or with others, in a run folder that one of them holds."""
    with parallel.joined(cfg.trainer.devices, cfg.trainer.hang_seconds), stop_requests() as stop:
        if not parallel.is_writer():
            yield parallel.Nowhere(), stop
            return
        display = Terminal()
        with run_folder.locked(folder):
            try:
                yield display, stop
            finally:
                display.finish()


def _evaluate_again(cfg: DictConfig, folder: Path, display: Terminal, stop: StopRequest) -> dict[str, Any]:
    found = results.read(folder / "results.json")
    changed = run_folder.changes(run_folder.saved_config(folder), run_folder.settled(cfg))
    if changed:
        raise ConfigError(f"the run has another configuration: {'; '.join(changed)}")
    device = machine.device_of(cfg.trainer.device, cfg.trainer.devices)
    model, dataset = run_folder.load(folder), instantiate(cfg.dataset)
    estimators = _estimators(cfg)
    refuse_wrong_kind(model, estimators, dataset)
    refuse_needing_complete(model, dataset, estimators)
    _place(model, device, cfg)

    data = parallel.writer_first(lambda: dataset.load(device))
    refuse_other_data(found["binarization"], dataset)
    for estimator in estimators.values():
        estimator.check(model, data)

    def show(name: str, picture: np.ndarray) -> None:
        if parallel.is_writer():
            save_png(picture, folder / name / "evaluated.png")

    estimates, values = evaluated(model, estimators, data, cfg.seed, display, stop, show)
    if not parallel.is_writer():
        return found
    found["estimates"] = results.merged(found["estimates"], estimates)
    results.write_values(folder / "values.npz", found["estimates"], values)
    results.write(folder / "results.json", found)
    display.estimates(estimates, "Estimates per example", [f"added to {folder / 'results.json'}"])
    return found


def _run(cfg: DictConfig, folder: Path, display: Terminal, stop: StopRequest) -> dict[str, Any]:
    config = run_folder.settled(cfg)
    checkpoints = Checkpoints(folder / "checkpoints") if parallel.is_writer() else parallel.Nowhere()
    found, resume = parallel.from_writer(lambda: _begun(config, checkpoints, folder, display))
    if found:
        display.say(f"{folder} holds this run, ended: nothing is left to do")
        return found

    device = machine.device_of(cfg.trainer.device, cfg.trainer.devices)
    trainer, model, objective, estimators, data = _assembled(cfg, device, resume)
    if isinstance(data.train, Sentences) and parallel.is_writer():
        data.train.vocabulary.write(folder / VOCABULARY)
    display.say(_introduction(model, data, device, folder))

    log = _open_log(folder, display, resume)
    gallery = Gallery(model, data, log, cfg.seed) if parallel.is_writer() else parallel.Nowhere()
    try:
        log.hparams(hparams(config))
        session = Session(cfg.seed, checkpoints, log, display, stop, Rivals(folder), gallery, config, resume)
        summary = trainer.fit(model, objective, data, session)

        def show(name: str, picture: np.ndarray) -> None:
            log.picture(name, picture, summary.steps, f"epoch_{summary.epochs:04}.png")

        model.eval()
        estimates, values = evaluated(model, estimators, data, cfg.seed, display, stop, show)
        gallery(summary.steps, summary.epochs)
        log.scalars(named(estimates), summary.steps, summary.epochs)
        log.ended(well=True)
    except Interrupted:
        raise
    except Exception:
        log.ended(well=False)
        raise
    finally:
        log.close()
        if parallel.is_writer():  # a second command in this folder, refused, may have overwritten it
            run_folder.save_config(folder, config)

    choices = {"seed": cfg.seed, "published": config["published"], "configuration": run_folder.fingerprint(config)}
    found = results.results(choices, model, data.protocol, estimates, summary)
    if not parallel.is_writer():
        return found
    before = _found_before(folder)
    if before and before.get("training", {}).get("steps") == summary.steps:  # only evaluated again
        found["estimates"] = results.merged(before["estimates"], estimates)
    results.write_values(folder / "values.npz", found["estimates"], values)
    results.write(folder / "results.json", found)
    display.estimates(estimates, "Estimates per example", conclusion(found, folder))
    return found


class _Parts(NamedTuple):
    """What a run is made of."""

    trainer: Trainer
    model: nn.Module
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


def _built(cfg: DictConfig) -> tuple[Trainer, Dataset, nn.Module, Objective, dict[str, Estimator]]:
    """Builds the parts of a run; refuses what does not go together."""
    trainer, dataset = instantiate(cfg.trainer), instantiate(cfg.dataset)
    rng.reseed(cfg.seed, "model")
    model, objective, estimators = instantiate(cfg.model), instantiate(cfg.objective), _estimators(cfg)
    refuse_wrong_kind(model, estimators, dataset)
    if dataset.corrupt:
        model = corrupted(model, dataset.corrupt)
    refuse_needing_complete(model, dataset, {"objective": objective, "trainer": trainer} | estimators)
    return trainer, dataset, model, objective, estimators


def _assembled(cfg: DictConfig, device: torch.device, resume: tuple[dict, dict] | None) -> _Parts:
    """All parts, on the device, as they are before the first step; what does not go together is refused."""
    trainer, dataset, model, objective, estimators = _built(cfg)
    _place(model, device, cfg)
    data = parallel.writer_first(lambda: dataset.load(device))
    refuse_out_of_reach(model, data)
    if resume:
        refuse_other_data(resume[1]["data"], dataset)
    model.eval()
    for estimator in estimators.values():
        estimator.check(model, data)
    model.train()
    rng.reseed(cfg.seed, "initialize")
    initialize(model, data.train)
    return _Parts(trainer, model, objective, estimators, data)


def _begun(
    config: Mapping[str, Any], checkpoints: Checkpoints, folder: Path, display: Terminal
) -> tuple[dict[str, Any] | None, tuple[dict, dict] | None]:
    """What this run has found, if it has ended, or the checkpoint to go on from, if there is one."""
    if config["trainer"]["resume"] == "auto" and (found := _ended(config, checkpoints, folder)):
        return found, None
    return None, _find_checkpoint(config, checkpoints, folder, display)


def _ended(config: Mapping[str, Any], checkpoints: Checkpoints, folder: Path) -> dict[str, Any] | None:
    """What a run with this very configuration has found, if it has ended; its checkpoints may be gone."""
    found = _found_before(folder)
    if found is None:
        return None
    try:
        damaged = checkpoints.exists("last") and checkpoints.load("best")[2]
    except CheckpointError:
        return None
    return found if not damaged and found.get("configuration") == run_folder.fingerprint(config) else None


def _found_before(folder: Path) -> dict[str, Any] | None:
    try:
        return results.read(folder / "results.json")
    except CheckpointError:
        return None


def _find_checkpoint(
    config: Mapping[str, Any], checkpoints: Checkpoints, folder: Path, display: Terminal
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
        return None
    weights, state, damaged = checkpoints.load("last")
    for line in damaged:
        display.say(f"{line}; the one before it is used")
    if wanted is None:
        run_folder.save_config(folder, state["config"])  # as it was before this command
        raise CheckpointError(f"{folder} holds a run: add trainer.resume={folder} to go on, or choose another folder")
    changed = run_folder.changes(state["config"], config)
    if changed:
        run_folder.save_config(folder, state["config"])
        raise CheckpointError(f"trainer.resume: the configuration has changed: {'; '.join(changed)}")
    return weights, state


def _estimators(cfg: DictConfig) -> dict[str, Estimator]:
    return {name: instantiate(node) for name, node in (cfg.estimators or {}).items()}


def _place(model: nn.Module, device: torch.device, cfg: DictConfig) -> None:
    settings = cfg.trainer
    machine.place(model, device, settings.precision, settings.threads, settings.batch_size // settings.devices)


def _introduction(model: nn.Module, data: LoadedDataset, device: torch.device, folder: Path) -> str:
    sizes = " + ".join(str(len(split)) for split in (data.train, data.valid, data.test))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    protocol = data.protocol
    named = (
        f"{type(model).__name__} with {parameters:,} parameters on {device}; {protocol.name}: {sizes} examples, "
        f"binarisation {protocol.binarization}"
    )
    return "\n".join((named, *protocol.notes, f"writing to {folder}"))


def _open_log(folder: Path, display: Terminal, resume: tuple[dict, dict] | None) -> RunLog:
    if not parallel.is_writer():
        return parallel.Nowhere()
    if resume is None:
        return RunLog(folder, display.say)
    state = resume[1]
    display.say(f"going on after step {state['logged_step']}")
    return RunLog(folder, display.say, state["metrics_offset"], purge_step=state["logged_step"] + 1)
