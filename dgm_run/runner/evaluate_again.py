"""Evaluates a finished run again, with other estimators or settings."""

import os
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from dgm_run.config import commands
from dgm_run.config.compose import instantiate, resolve_data_paths
from dgm_run.config.validate import validate
from dgm_run.distributed import process_group
from dgm_run.distributed.device import refuse_too_many, select_device
from dgm_run.distributed.signals import StopRequest
from dgm_run.errors import ConfigError
from dgm_run.memory import out_of_memory
from dgm_run.recording.image_grid import save_png
from dgm_run.recording.terminal import Terminal, describe_doubts, failures
from dgm_run.runner import results, run_folder
from dgm_run.runner.assemble import LARGE_DATA, LARGE_MODEL, build_estimators, data_source, place_model
from dgm_run.runner.compatibility import (
    refuse_moved_data,
    refuse_needing_complete,
    refuse_other_data,
    refuse_wrong_kind,
)
from dgm_run.runner.evaluate import evaluate_test_set
from dgm_run.runner.finish import add_evaluation, write_results
from dgm_run.runner.workers import has_to_start_workers, open_run


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
    if has_to_start_workers(cfg):
        from dgm_run.distributed.launch import launch_workers

        refuse_too_many(cfg.trainer.device, cfg.trainer.devices)
        _read_finished(cfg, Path(run_dir))
        text = OmegaConf.to_yaml(cfg)
        return launch_workers(cfg.trainer.devices, _evaluate_yaml, text, os.fspath(run_dir), list(packages))
    with open_run(cfg, Path(run_dir)) as (display, stop):
        return _evaluate_again(cfg, Path(run_dir), packages, display, stop)


def _evaluate_yaml(text: str, run_dir: str, packages: Sequence[str]) -> dict[str, Any]:
    """`evaluate` of a configuration as text."""
    return evaluate(OmegaConf.create(text), run_dir, packages)


def _evaluate_again(
    cfg: DictConfig, folder: Path, packages: Sequence[str], display: Terminal, stop: StopRequest
) -> dict[str, Any]:
    found = _read_finished(cfg, folder)
    refuse_moved_data(data_source(cfg), commands.evaluate_run(folder))
    device = select_device(cfg.trainer.device, cfg.trainer.devices)
    model = run_folder.load(folder, packages)
    dataset = instantiate(cfg.dataset)
    estimators = build_estimators(cfg)
    refuse_wrong_kind(model, estimators, dataset)
    with out_of_memory(LARGE_MODEL):
        place_model(model, device, cfg)
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
    add_evaluation(found, evaluation, estimators, found)

    def notes() -> list[str]:
        return [*failures(evaluation.failed, folder), *describe_doubts(evaluation.rows), *merge]

    write_results(folder, found, evaluation, display, notes)
    return found


def _read_finished(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """The results of a run that is to be evaluated again; refuses one of another configuration."""
    found = results.read(folder / "results.json")
    changed = run_folder.config_diff(run_folder.saved_config(folder), run_folder.resolve_config(cfg))
    if changed:
        raise ConfigError(f"the run has another configuration: {'; '.join(changed)}")
    return found
