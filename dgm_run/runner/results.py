"""Contents of results.json: the estimates of a run with their settings and errors, its training, and its session."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from dgm_run.config.commands import resume_run
from dgm_run.data.dataset import DataDescription
from dgm_run.errors import CheckpointError
from dgm_run.models.external import name_model
from dgm_run.recording.estimate_id import estimate_id, is_data_identity, values_key
from dgm_run.recording.numbers import are_limits, is_number, is_pair
from dgm_run.trainers.base import TrainingSummary


def make_results(
    choices: Mapping[str, Any],
    model: nn.Module,
    dataset: DataDescription,
    estimates: Sequence[Mapping[str, Any]],
    summary: TrainingSummary,
    failed: Mapping[str, str],
    environment: Mapping[str, Any],
) -> dict[str, Any]:
    """Makes the contents of results.json.

    Args:
        choices: entries from the configuration: seed, published number, ...
        model: trained model.
        dataset: data set, loaded.
        estimates: rows of `Estimate` fields with split and seconds.
        summary: summary of the training.
        failed: reasons of failed estimators, by the estimator's name.
        environment: description of the session, and what it used.
    """
    return {
        "model": name_model(model),
        "dataset": dataset.name,
        "preprocessing": dataset.protocol,
        **choices,
        "estimates": list(estimates),
        "failed_estimators": dict(failed),
        "training": asdict(summary),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "environment": dict(environment),
    }


def read(path: Path) -> dict[str, Any]:
    """Reads results.json.

    Raises:
        CheckpointError: the file is missing or cannot be read.
    """
    try:
        contents = json.loads(path.read_text())
        _check_contents(contents)
        return contents
    except FileNotFoundError:
        folder = path.parent
        if not any((folder / "checkpoints" / name).is_dir() for name in ("last", "previous_last")):
            raise CheckpointError(
                f"{folder} has neither results.json nor a checkpoint: it is no run that can be used"
            ) from None
        raise CheckpointError(f"{folder} has no results.json: its run has not ended: {resume_run(folder)}") from None
    except (OSError, ValueError, RecursionError) as error:
        again = resume_run(path.parent)
        raise CheckpointError(f"{path} cannot be read: {error}: delete it, and evaluate again: {again}") from None


def _check_contents(contents: Any) -> None:
    """Refuses contents of results.json that a run cannot have written.

    Raises:
        ValueError: names the field.
    """
    if not isinstance(contents, dict):
        raise ValueError("it holds no object")
    for name, kind in (("preprocessing", str), ("estimates", list), ("training", dict)):
        if not isinstance(contents.get(name), kind):
            raise ValueError(f"{name} is {contents.get(name)!r:.60}")
    if type(contents["training"].get("steps")) is not int:
        raise ValueError(f"training.steps is {contents['training'].get('steps')!r:.60}")
    if not _is_mapping_to(contents.get("failed_estimators", {}), lambda value: isinstance(value, str)):
        raise ValueError(f"failed_estimators is {contents['failed_estimators']!r:.60}")
    for row in contents["estimates"]:
        check_row(row)


def check_row(row: Any) -> None:
    """Refuses an estimate that cannot be shown, compared or written.

    Raises:
        ValueError: names the field.
    """
    if not isinstance(row, dict):
        raise ValueError(f"an estimate is {row!r:.60}")
    kinds: dict[str, Callable[[Any], bool]] = {
        **dict.fromkeys(("split", "quantity", "estimator", "kind", "unit"), lambda value: isinstance(value, str)),
        "value": is_number,
        **dict.fromkeys(("stderr", "train_reference"), lambda value: value is None or is_number(value)),
        **dict.fromkeys(("interval", "computing_interval"), lambda value: value is None or is_pair(value)),
        "num_examples": lambda value: type(value) is int,
        "settings": lambda value: isinstance(value, dict),
        "diagnostics": lambda value: _is_mapping_to(value, lambda each: each is None or is_number(each)),
        "warning": lambda value: value is None or isinstance(value, str),
    }
    for name, is_right in kinds.items():
        if name not in row:
            raise ValueError(f"an estimate has no {name}")
        if not is_right(row[name]):
            raise ValueError(f"{name} of an estimate is {row[name]!r:.60}")
    if not is_data_identity(row.get("dataset")):
        raise ValueError(f"dataset of an estimate is {row['dataset']!r:.60}")
    if row.get("limits") is not None and not are_limits(row["limits"]):
        raise ValueError(f"limits of an estimate is {row['limits']!r:.60}")
    try:
        json.dumps(row["settings"])
    except TypeError as error:
        raise ValueError(f"settings of an estimate cannot be written: {error}") from None


def _is_mapping_to(value: Any, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(map(is_right, value.values()))


def merge_estimates(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Merges estimates; a new one replaces an old one of the same estimator, settings and data."""
    new_ids = {estimate_id(row) for row in new}
    return [row for row in old if estimate_id(row) not in new_ids] + list(new)


def describe_merge(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], path: Path) -> list[str]:
    """Describes which new estimates are added to results.json, and which replace an old one.

    Args:
        old, new: estimates, as for `merge_estimates`.
        path: path of results.json.
    """
    old_ids = {estimate_id(row) for row in old}
    replaced = [row for row in new if estimate_id(row) in old_ids]
    added = [row for row in new if estimate_id(row) not in old_ids]
    lines = [f"replaced in {path}, same estimator and settings: {_list_names(replaced)}"] if replaced else []
    return lines + ([f"added to {path}: {_list_names(added)}"] if added else [])


def _list_names(rows: Sequence[Mapping[str, Any]]) -> str:
    names: dict[str, list[str]] = {}
    for each in rows:
        names.setdefault(each["estimator"], []).append(each["quantity"])
    return "; ".join(f"{', '.join(quantities)} by {estimator}" for estimator, quantities in names.items())


def make_row(
    estimate: Any, split: str, seconds: float, other_data: Mapping[str, Any] | None = None
) -> dict[str, Any]:  # fmt: skip
    """Makes the row of an estimate in results.json, without the values of single examples.

    Args:
        estimate: an `Estimate`.
        split: name of the split.
        seconds: time of the estimator.
        other_data: name, preprocessing and settings of data other than the run's; None for those of the run.
    """
    row = asdict(replace(estimate, values=None, example_columns={}, baseline=None))
    row |= {"split": split, "dataset": other_data and dict(other_data), "seconds": seconds}
    del row["values"], row["example_columns"], row["baseline"]
    for name in ("interval", "computing_interval", "limits"):
        row[name] = row[name] and list(row[name])
    return row


def write_values(path: Path, rows: Sequence[Mapping[str, Any]], values: Mapping[str, np.ndarray]) -> None:
    """Writes the values of single examples by `values_key`, and keeps the values of other rows.

    Args:
        path: path of the .npz file.
        rows: rows of results.json; values without a row, and unreadable values, are dropped.
        values: new values, (N,) each.

    Raises:
        OSError: the file cannot be written.
    """
    known = {values_key(each) for each in rows}
    kept = {name: array for name, array in _read_values(path).items() if name in known}
    temporary = path.with_suffix(f".{os.getpid()}.tmp.npz")
    try:
        np.savez_compressed(temporary, **{**kept, **values})  # type: ignore[arg-type]  # none is called allow_pickle
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_values(path: Path) -> dict[str, np.ndarray]:
    """Reads the undamaged one-dimensional arrays of floats in a file."""
    values: dict[str, np.ndarray] = {}
    # damage raises errors of zlib, zipfile, struct, tokenize, ...
    with suppress(Exception), np.load(path, allow_pickle=False) as old:
        for name in old.files:
            with suppress(Exception):
                array = old[name]
                if array.ndim == 1 and array.dtype.kind == "f":
                    values[name] = array
    return values


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Writes results.json atomically: a reader finds the whole file or none.

    Raises:
        OSError: the file cannot be written; the former file is unchanged.
    """
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with open(temporary, "w") as file:
            json.dump(content, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
