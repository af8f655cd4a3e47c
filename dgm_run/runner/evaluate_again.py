"""Evaluates a finished run again, with other estimators or settings, or on other data."""

import os
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dgm_run import rng
from dgm_run.config.commands import evaluate_run
from dgm_run.config.compose import as_config, instantiate, resolve_data_paths
from dgm_run.config.own_code import make_importable
from dgm_run.config.schema import RESUMABLE_KEYS
from dgm_run.config.validate import validate
from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributed import process_group
from dgm_run.distributed.device import refuse_too_many, select_device, set_threads
from dgm_run.distributed.signals import StopRequest
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import Estimator
from dgm_run.memory import out_of_memory
from dgm_run.models.base import GenerativeModel
from dgm_run.models.corrupted import CorruptedModel, build_corrupted_model
from dgm_run.recording.base import Display
from dgm_run.recording.image_grid import save_png
from dgm_run.recording.terminal import describe_diagnostics, describe_failures
from dgm_run.runner import other_data, results, run_folder
from dgm_run.runner.assemble import DATA_TOO_LARGE, MODEL_TOO_LARGE, build_list, get_data_source, place_model
from dgm_run.runner.compatibility import (
    choose_fitting,
    refuse_missing_file,
    refuse_moved_data,
    refuse_needing_complete,
    refuse_other_data,
    refuse_wrong_kind,
)
from dgm_run.runner.evaluate import Evaluation, evaluate_test_set
from dgm_run.runner.finish import add_evaluation, write_results
from dgm_run.runner.other_data import OtherData
from dgm_run.runner.workers import has_to_start_workers, open_run

NUM_NAMED = 5
"""Largest number of changed settings that a message names."""


def evaluate(cfg: DictConfig, run_dir: str | os.PathLike, packages: Sequence[str] = ()) -> dict[str, Any]:
    """Evaluates a finished run again with the estimators of `cfg`, and adds the estimates to its results.json.

    A configuration with another data set evaluates the model on it, with the preprocessing of the run. Its rows name
    the data, and stand beside those of the run.

    Args:
        cfg: configuration of the run. Estimators, data, and other keys that a resumed run may change can differ.
        run_dir: folder of the run; locked meanwhile.
        packages: further packages that the model may be built from, as for `load`.

    Returns:
        The contents of results.json. A new estimate replaces one by the same estimator with the same settings. On other
        data `failed_estimators` are those of this evaluation, which the file does not keep.

    Raises:
        UserError: the folder holds no finished run, or a run of another configuration; one line says why.
        Interrupted: a signal stopped the evaluation; results.json is unchanged.
    """
    cfg = deepcopy(cfg)  # building the parts changes it
    resolve_data_paths(cfg, os.getcwd())
    names = make_importable(packages)
    text = OmegaConf.to_yaml(cfg)
    other = _choose_data(cfg, Path(run_dir), names)
    validate(cfg)
    if has_to_start_workers(cfg):
        from dgm_run.distributed.launch import launch_workers

        refuse_too_many(cfg.trainer.device, cfg.trainer.devices)
        _read_finished(cfg, Path(run_dir), other)
        return launch_workers(cfg.trainer.devices, _evaluate_yaml, text, os.fspath(run_dir), list(packages))
    with open_run(cfg, Path(run_dir)) as (display, stop):
        return _evaluate_again(cfg, Path(run_dir), packages, other, display, stop)


def _evaluate_yaml(text: str, run_dir: str, packages: Sequence[str]) -> dict[str, Any]:
    """Calls `evaluate` in a worker process, which receives the configuration as YAML."""
    return evaluate(as_config(OmegaConf.create(text)), run_dir, packages)


def _choose_data(cfg: DictConfig, folder: Path, packages: Sequence[str]) -> OtherData | None:
    """Gives other data the settings of the run, in place; returns None where the data are those of the run."""
    own = run_folder.load_config(folder).get("dataset")
    try:
        node = OmegaConf.to_container(cfg.dataset, resolve=True) if OmegaConf.is_dict(cfg.dataset) else None
    except OmegaConfBaseException:  # `validate` reports it
        return None
    if not isinstance(own, dict) or not isinstance(node, dict):
        return None
    other = other_data.choose_other_data(own, {str(key): value for key, value in node.items()})
    if other:
        adopted = as_config(OmegaConf.create({"dataset": other.adopted}))
        run_folder.refuse_foreign_targets(adopted, packages, lambda name: f"evaluate(cfg, run_dir, [{name!r}])")
        for key, value in other.adopted.items():
            cfg.dataset[key] = value
    return other


class _Parts(NamedTuple):
    """Objects of an evaluation; `other` is None for the data of the run."""

    model: GenerativeModel
    estimators: dict[str, Estimator]
    data: LoadedDataset
    other: OtherData | None


def _evaluate_again(
    cfg: DictConfig, folder: Path, packages: Sequence[str], other: OtherData | None, display: Display, stop: StopRequest
) -> dict[str, Any]:
    contents = _read_finished(cfg, folder, other)
    model, estimators, data, other = _assemble(cfg, folder, packages, other, contents["preprocessing"])
    dataset = data.dataset
    place = f" on {dataset.name}" if other else ""
    display.open_log(folder, f"evaluation of the best checkpoint{place}")
    identity = None
    if other:
        for line in (other.describe(dataset), *dataset.notes):
            display.say(line)
        identity = other_data.identify_data(dataset, run_folder.resolve_config(cfg)["dataset"])
    suffix = re.sub(r"\W+", "_", place)

    def show(name: str, picture: np.ndarray) -> None:
        if process_group.is_main_process():
            save_png(picture, folder / f"{name}{suffix}" / "evaluated.png")

    evaluation = evaluate_test_set(model, estimators, data, cfg.seed, display, stop, show, identity)
    if not process_group.is_main_process():
        return contents
    return _add_results(contents, evaluation, estimators, folder, display, is_other=other is not None)


def _assemble(
    cfg: DictConfig, folder: Path, packages: Sequence[str], other: OtherData | None, preprocessing: str
) -> _Parts:  # fmt: skip
    """Loads the model and the data, and refuses what does not fit together.

    Args:
        cfg: configuration, validated.
        folder: folder of the run.
        packages: further packages that the model may be built from.
        other: choice of other data, or of those of the run at a new place; None for those of the run.
        preprocessing: protocol of the data of the run.
    """
    source = get_data_source(cfg)
    if other:
        refuse_missing_file(source)
    else:
        refuse_moved_data(source, evaluate_run(folder))
    device = select_device(cfg.trainer.device, cfg.trainer.devices)
    model = run_folder.load_model(folder, packages)
    dataset = instantiate(cfg.dataset)
    estimators = build_list(cfg, "estimators", Estimator)
    estimators = choose_fitting(estimators, model)
    refuse_wrong_kind(model, estimators, dataset)
    with out_of_memory(MODEL_TOO_LARGE):
        place_model(model, device, cfg)
    set_threads(model, cfg.trainer.eval_batch_size, cfg.trainer.threads)
    with out_of_memory(DATA_TOO_LARGE):
        data = process_group.main_process_first(
            lambda: other_data.load_other_data(dataset, folder, other, device) if other else dataset.load(device)
        )
    if other and other_data.is_data_of_run(dataset, other.own_name, preprocessing):
        other = None
    if other is None:
        refuse_other_data(preprocessing, dataset)
    else:
        rng.reseed(cfg.seed, "independent pixels")
        estimators = {name: estimator.for_other_data(data) for name, estimator in estimators.items()}
        if dataset.corrupt and not isinstance(model, CorruptedModel):
            model = build_corrupted_model(model, dataset.corrupt)
    refuse_needing_complete(model, dataset, estimators)
    for estimator in estimators.values():
        estimator.check(model, data)
    return _Parts(model, estimators, data, other)


def _add_results(
    contents: dict[str, Any], evaluation: Evaluation, estimators: Mapping[str, Estimator], folder: Path,
    display: Display, is_other: bool,
) -> dict[str, Any]:  # fmt: skip
    """Adds an evaluation to results.json, and returns its contents as `evaluate` does."""
    merge_notes = results.describe_merge(contents["estimates"], evaluation.rows, folder / "results.json")
    if is_other:
        contents["estimates"] = results.merge_estimates(contents["estimates"], evaluation.rows)
        failures = [f"estimators.{name} failed: {reason}" for name, reason in evaluation.failed.items()]
    else:
        add_evaluation(contents, evaluation, estimators, contents)
        failures = describe_failures(evaluation.failed, folder)
    notes = [*failures, *describe_diagnostics(evaluation.rows), *merge_notes]
    write_results(folder, contents, evaluation, display, lambda: notes)
    return contents | {"failed_estimators": evaluation.failed} if is_other else contents


def _read_finished(cfg: DictConfig, folder: Path, other: OtherData | None) -> dict[str, Any]:
    """Reads the results of a finished run; refuses a run of another configuration."""
    contents = results.read(folder / "results.json")
    may_change = (*RESUMABLE_KEYS, "dataset") if other else RESUMABLE_KEYS
    saved = run_folder.load_config(folder)
    changed = run_folder.diff_configs(saved, run_folder.resolve_config(cfg), may_change=may_change)
    if changed:
        more = f" and {len(changed) - NUM_NAMED} more" if len(changed) > NUM_NAMED else ""
        raise ConfigError(f"the run has another configuration: {'; '.join(changed[:NUM_NAMED])}{more}")
    return contents
