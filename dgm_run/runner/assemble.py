"""Builds the parts of a run, and refuses parts that do not fit together."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig
from torch import nn

from dgm_run import rng
from dgm_run.config.compose import instantiate
from dgm_run.config.validate import validate
from dgm_run.data.dataset import Dataset, LoadedDataset
from dgm_run.distributed import process_group
from dgm_run.distributed.device import move_to_device, set_threads
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import Estimator
from dgm_run.memory import out_of_memory
from dgm_run.models.base import GenerativeModel
from dgm_run.models.corrupted import CorruptedModel, build_corrupted_model
from dgm_run.models.external import ExternalModel, name_model
from dgm_run.objectives.base import Objective
from dgm_run.recording.base import Logger
from dgm_run.recording.checkpoint import Snapshot
from dgm_run.runner.compatibility import (
    choose_fitting,
    refuse_augmentation,
    refuse_missing_file,
    refuse_needing_complete,
    refuse_other_data,
    refuse_other_kind,
    refuse_values_outside_unit_interval,
    refuse_wrong_kind,
)
from dgm_run.trainers.base import Trainer
from dgm_run.trainers.callbacks.base import Callback
from dgm_run.trainers.initialize import initialize

MODEL_TOO_LARGE = "the model is too large: lower model.latent_dim or the sizes of its layers"
DATA_TOO_LARGE = "the data set is too large: use fewer examples"


def get_data_source(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the node of the data source in a configuration; empty if there is none."""
    return config["dataset"].get("source") or {}


class Parts(NamedTuple):
    """Objects of a run, built from its configuration."""

    trainer: Trainer
    model: GenerativeModel
    objective: Objective
    estimators: dict[str, Estimator]
    loggers: dict[str, Logger]
    callbacks: dict[str, Callback]
    data: LoadedDataset


def check_config(cfg: DictConfig) -> None:
    """Validates a configuration and builds all of its parts but the data.

    Raises:
        UserError: parts do not fit together; one line names the key and the way out.
    """
    cfg = deepcopy(cfg)  # building the parts changes it
    validate(cfg)
    build_parts(cfg)


def assemble_parts(cfg: DictConfig, device: torch.device, resume: Snapshot | None) -> Parts:
    """Builds all parts on the device, loads the data, and initialises the model.

    Args:
        cfg: configuration, validated.
        device: device of model and data.
        resume: checkpoint to resume from, of a run on the same data; None for a new run.

    Raises:
        UserError: parts or data do not fit together, or memory ran out.
    """
    trainer, model, objective, estimators, loggers, callbacks, dataset = build_parts(cfg)
    with out_of_memory(MODEL_TOO_LARGE):
        place_model(model, device, cfg)
    with out_of_memory(DATA_TOO_LARGE):
        data = process_group.main_process_first(lambda: dataset.load(device))
    if cfg.trainer.get("overfit_examples"):
        data = data.restrict_to_training(cfg.trainer.overfit_examples)
    if dataset.preprocessing.has_missing_values and not isinstance(model, CorruptedModel):
        assert dataset.corrupt is not None  # since values are missing
        model = build_corrupted_model(model, dataset.corrupt)
        refuse_needing_complete(model, dataset, {"objective": objective, "trainer": trainer} | estimators)
    refuse_values_outside_unit_interval(model, data)
    if resume:
        refuse_other_data(resume.state["data"], dataset)
    model.eval()
    if isinstance(model, ExternalModel):
        model.check(data.valid.batch(slice(0, 2)))
    for estimator in estimators.values():
        estimator.check(model, data)
    model.train()
    rng.reseed(cfg.seed, "initialize")
    with out_of_memory(MODEL_TOO_LARGE):
        initialize(model, data.train)
    return Parts(trainer, model, objective, estimators, loggers, callbacks, data)


def build_parts(
    cfg: DictConfig,
) -> tuple[Trainer, GenerativeModel, Objective, dict[str, Estimator], dict[str, Logger], dict[str, Callback], Dataset]:
    """Builds all parts without the data.

    Raises:
        UserError: parts do not fit together, or memory ran out.
    """
    trainer = instantiate(cfg.trainer)
    loggers = build_list(cfg, "logger", Logger)
    callbacks = build_list(cfg, "callbacks", Callback)
    dataset = instantiate(cfg.dataset)
    refuse_missing_file(get_data_source(cfg))
    rng.reseed(cfg.seed, "model")
    with out_of_memory(MODEL_TOO_LARGE):
        model = instantiate(cfg.model)
        objective = instantiate(cfg.objective)
        estimators = build_list(cfg, "estimators", Estimator)
    refuse_augmentation(trainer, dataset)
    estimators = choose_fitting(estimators, model)
    refuse_other_kind(model, {"objective": objective, "trainer": trainer})
    refuse_wrong_kind(model, estimators, dataset)
    if dataset.corrupt:
        model = build_corrupted_model(model, dataset.corrupt)
    refuse_needing_complete(model, dataset, {"objective": objective, "trainer": trainer} | estimators)
    return trainer, model, objective, estimators, loggers, callbacks, dataset


def build_list(cfg: DictConfig, group: str, kind: type) -> dict[str, Any]:
    """Builds the parts of a group that has a list of choices, by their names.

    Raises:
        ConfigError: a part does not derive from `kind`.
    """
    parts = {str(name): instantiate(node) for name, node in (cfg[group] or {}).items()}
    for name, part in parts.items():
        if kind not in type(part).__mro__:
            raise ConfigError(
                f"{group}.{name}: {type(part).__name__} is no {kind.__name__}: derive it from "
                f"{kind.__module__}.{kind.__name__}"
            )
    return parts


def place_model(model: nn.Module, device: torch.device, cfg: DictConfig) -> None:
    """Moves the model to the device, in the precision and with the threads of the trainer's settings."""
    settings = cfg.trainer
    move_to_device(model, device, settings.precision)
    set_threads(model, settings.get("batch_size", settings.eval_batch_size) // settings.devices, settings.threads)


def describe_parts(parts: Parts, device: torch.device, folder: Path) -> str:
    """Writes the first lines of the log: model, data, notes on the data, folder."""
    data = parts.data
    dataset = data.dataset
    sizes = " + ".join(str(len(split)) for split in (data.train, data.valid, data.test))
    num_parameters = sum(parameter.numel() for parameter in parts.model.parameters())
    name = name_model(parts.model)
    title = (
        f"{name} with {num_parameters:,} parameters on {device}; {dataset.name}: "
        f"{sizes} examples, binarisation {dataset.protocol}"
    )
    return "\n".join((title, *dataset.notes, f"writing to {folder}"))
