"""Evaluates a finished run again, with other estimators or settings."""

import os
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from dgm_run.config.commands import evaluate_run
from dgm_run.config.compose import as_config, instantiate, resolve_data_paths
from dgm_run.config.own_code import make_importable
from dgm_run.config.validate import validate
from dgm_run.distributed import process_group
from dgm_run.distributed.device import refuse_too_many, select_device, set_threads
from dgm_run.distributed.signals import StopRequest
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import Estimator
from dgm_run.memory import out_of_memory
from dgm_run.models.external import ExternalModel
from dgm_run.recording.base import Display
from dgm_run.recording.image_grid import save_png
from dgm_run.recording.terminal import describe_diagnostics, describe_failures
from dgm_run.runner import results, run_folder
from dgm_run.runner.assemble import DATA_TOO_LARGE, MODEL_TOO_LARGE, build_list, get_data_source, place_model
from dgm_run.runner.compatibility import (
    choose_fitting,
    refuse_moved_data,
    refuse_needing_complete,
    refuse_other_data,
    refuse_wrong_kind,
)
from dgm_run.runner.evaluate import evaluate_test_set
from dgm_run.runner.finish import add_evaluation, write_results
from dgm_run.runner.workers import has_to_start_workers, open_run


def evaluate(cfg: DictConfig, run_dir: str | os.PathLike, packages: Sequence[str] = ()) -> dict[str, Any]:
    """Evaluates a finished run again with the estimators of `cfg`, and adds the estimates to its results.json.

    Args:
        cfg: configuration of the run. Estimators and other keys that a resumed run may change can differ.
        run_dir: folder of the run; locked meanwhile.
        packages: further packages that the model may be built from, as for `load`.

    Returns:
        The contents of results.json. A new estimate replaces one by the same estimator with the same settings.

    Raises:
        UserError: the folder holds no finished run, or a run of another configuration; one line says why.
        Interrupted: a signal stopped the evaluation; results.json is unchanged.
    """
    cfg = deepcopy(cfg)  # building the parts changes it
    resolve_data_paths(cfg, os.getcwd())
    make_importable(packages)
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
    """Calls `evaluate` in a worker process, which receives the configuration as YAML."""
    return evaluate(as_config(OmegaConf.create(text)), run_dir, packages)


def _evaluate_again(
    cfg: DictConfig, folder: Path, packages: Sequence[str], display: Display, stop: StopRequest
) -> dict[str, Any]:
    contents = _read_finished(cfg, folder)
    refuse_moved_data(get_data_source(cfg), evaluate_run(folder))
    device = select_device(cfg.trainer.device, cfg.trainer.devices)
    model = run_folder.load_model(folder, packages)
    dataset = instantiate(cfg.dataset)
    estimators = build_list(cfg, "estimators", Estimator)
    if isinstance(model, ExternalModel):
        estimators = choose_fitting(estimators, model)
    refuse_wrong_kind(model, estimators, dataset)
    with out_of_memory(MODEL_TOO_LARGE):
        place_model(model, device, cfg)
    set_threads(model, cfg.trainer.eval_batch_size, cfg.trainer.threads)
    with out_of_memory(DATA_TOO_LARGE):
        data = process_group.main_process_first(lambda: dataset.load(device))
    refuse_needing_complete(model, dataset, estimators)
    refuse_other_data(contents["preprocessing"], dataset)
    for estimator in estimators.values():
        estimator.check(model, data)
    display.open_log(folder, "evaluation of the best checkpoint")

    def show(name: str, picture: np.ndarray) -> None:
        if process_group.is_main_process():
            save_png(picture, folder / name / "evaluated.png")

    evaluation = evaluate_test_set(model, estimators, data, cfg.seed, display, stop, show)
    if not process_group.is_main_process():
        return contents
    merge_notes = results.describe_merge(contents["estimates"], evaluation.rows, folder / "results.json")
    add_evaluation(contents, evaluation, estimators, contents)

    def make_notes() -> list[str]:
        return [*describe_failures(evaluation.failed, folder), *describe_diagnostics(evaluation.rows), *merge_notes]

    write_results(folder, contents, evaluation, display, make_notes)
    return contents


def _read_finished(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """Reads the results of a finished run; refuses a run of another configuration."""
    contents = results.read(folder / "results.json")
    changed = run_folder.diff_configs(run_folder.load_config(folder), run_folder.resolve_config(cfg))
    if changed:
        raise ConfigError(f"the run has another configuration: {'; '.join(changed)}")
    return contents
