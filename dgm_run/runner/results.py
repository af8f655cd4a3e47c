"""results.json: what a run found out, with all that is needed to read the numbers."""

import json
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import dgm_run
from dgm_run.config.commands import resume_run
from dgm_run.data.dataset import DataDescription
from dgm_run.distributed import process_group
from dgm_run.errors import CheckpointError
from dgm_run.recording.estimate_id import estimate_id, values_key
from dgm_run.trainers.base import TrainingSummary


def results(
    choices: Mapping[str, Any],
    model: nn.Module,
    dataset: DataDescription,
    estimates: Sequence[Mapping[str, Any]],
    summary: TrainingSummary,
    failed: Mapping[str, str],
) -> dict[str, Any]:
    """The contents of results.json.

    Args:
        choices: what the configuration says of the run: seed, published number, ...
        model: the trained model.
        dataset: names the data and their binarisation.
        estimates: rows of `Estimate` fields with the split and the seconds they took.
        summary: of the training.
        failed: why estimators failed, by name.
    """
    return {
        "model": type(model).__name__,
        "dataset": dataset.name,
        "preprocessing": dataset.protocol,
        **choices,
        "estimates": list(estimates),
        "failed_estimators": dict(failed),
        "training": asdict(summary),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "environment": environment(next(model.parameters()).device),
    }


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device, processes, threads of each, and the git commit where there is one."""
    return {
        "dgm_run": dgm_run.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processes": process_group.size(),
        "threads": torch.get_num_threads(),
        "commit": _commit(),
    }


def _commit() -> str | None:
    """The commit of the code, marked `-dirty` where files of it have changed since."""
    describe = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(describe, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    except OSError:  # git is not installed
        return None
    return found.stdout.strip() or None


def read(path: Path) -> dict[str, Any]:
    """The contents of results.json.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    try:
        found = json.loads(path.read_text())
        _check(found)
        return found
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


def _check(found: Any) -> None:
    """Refuses contents of results.json that no run has written.

    Raises:
        ValueError: names the field.
    """
    if not isinstance(found, dict):
        raise ValueError("it holds no object")
    for name, kind in (("preprocessing", str), ("estimates", list), ("training", dict)):
        if not isinstance(found.get(name), kind):
            raise ValueError(f"{name} is {found.get(name)!r:.60}")
    if type(found["training"].get("steps")) is not int:
        raise ValueError(f"training.steps is {found['training'].get('steps')!r:.60}")
    if not _is_mapping_to(found.get("failed_estimators", {}), lambda value: isinstance(value, str)):
        raise ValueError(f"failed_estimators is {found['failed_estimators']!r:.60}")
    for estimate_row in found["estimates"]:
        check_row(estimate_row)


def check_row(estimate_row: Any) -> None:
    """Refuses an estimate that cannot be shown, compared or written.

    Raises:
        ValueError: names the field.
    """
    if not isinstance(estimate_row, dict):
        raise ValueError(f"an estimate is {estimate_row!r:.60}")
    kinds: dict[str, Callable[[Any], bool]] = {
        **dict.fromkeys(("split", "quantity", "estimator", "kind", "unit"), lambda value: isinstance(value, str)),
        "value": is_number,
        **dict.fromkeys(("stderr", "train_reference"), lambda value: value is None or is_number(value)),
        **dict.fromkeys(("interval", "computing_interval"), lambda value: value is None or _is_pair(value)),
        "num_examples": lambda value: type(value) is int,
        "settings": lambda value: isinstance(value, dict),
        "diagnostics": lambda value: _is_mapping_to(value, lambda each: each is None or is_number(each)),
        "warning": lambda value: value is None or isinstance(value, str),
    }
    for name, is_right in kinds.items():
        if name not in estimate_row:
            raise ValueError(f"an estimate has no {name}")
        if not is_right(estimate_row[name]):
            raise ValueError(f"{name} of an estimate is {estimate_row[name]!r:.60}")
    if estimate_row.get("limits") is not None and not _are_limits(estimate_row["limits"]):
        raise ValueError(f"limits of an estimate is {estimate_row['limits']!r:.60}")
    try:
        json.dumps(estimate_row["settings"])
    except TypeError as error:
        raise ValueError(f"settings of an estimate cannot be written: {error}") from None


def is_number(value: Any) -> bool:
    """Whether a value is a number that a float can hold, and that JSON can."""
    try:
        return isinstance(value, int | float) and isinstance(float(value), float)
    except OverflowError:
        return False


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(is_number, value))


def _are_limits(value: Any) -> bool:
    """Whether a value is a pair of numbers, None in the place of one that there is not."""
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    return is_pair and all(each is None or is_number(each) for each in value)


def _is_mapping_to(value: Any, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(map(is_right, value.values()))


def merge_estimates(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All estimates; a new one takes the place of an old one that was found in the same way."""
    ways = {estimate_id(estimate_row) for estimate_row in new}
    return [estimate_row for estimate_row in old if estimate_id(estimate_row) not in ways] + list(new)


def describe_merge(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], path: Path) -> list[str]:
    """Says which new estimates are added to results.json, and which take the place of one found in the same way.

    Args:
        old, new: as `merged` takes them.
        path: of results.json.
    """
    ways = {estimate_id(estimate_row) for estimate_row in old}
    replaced = [estimate_row for estimate_row in new if estimate_id(estimate_row) in ways]
    added = [estimate_row for estimate_row in new if estimate_id(estimate_row) not in ways]
    lines = [f"replaced in {path}, found in the same way: {_names(replaced)}"] if replaced else []
    return lines + ([f"added to {path}: {_names(added)}"] if added else [])


def _names(rows: Sequence[Mapping[str, Any]]) -> str:
    names: dict[str, list[str]] = {}
    for each in rows:
        names.setdefault(each["estimator"], []).append(each["quantity"])
    return "; ".join(f"{', '.join(quantities)} by {estimator}" for estimator, quantities in names.items())


def estimate_row(estimate: Any, split: str, seconds: float) -> dict[str, Any]:
    """An estimate as it stands in results.json, where the values of single examples do not."""
    found = asdict(replace(estimate, values=None, baseline=None)) | {"split": split, "seconds": seconds}
    del found["values"], found["baseline"]
    for name in ("interval", "computing_interval", "limits"):
        found[name] = found[name] and list(found[name])
    return found


def write_values(path: Path, rows: Sequence[Mapping[str, Any]], values: Mapping[str, np.ndarray]) -> None:
    """Writes the values of single examples by `way.key`, beside those that are there already.

    Args:
        path: of the .npz file.
        rows: of results.json; values that none of them has any more are dropped, and those that cannot be read.
        values: the new ones, (N,) each.

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
    """The arrays of a file that are whole, and rows of numbers."""
    found: dict[str, np.ndarray] = {}
    # errors of zlib, zipfile, struct, tokenize, ... by where it is damaged
    with suppress(Exception), np.load(path, allow_pickle=False) as old:
        for name in old.files:
            with suppress(Exception):
                array = old[name]
                if array.ndim == 1 and array.dtype.kind == "f":
                    found[name] = array
    return found


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Writes atomically: a reader finds the whole file or none.

    Raises:
        OSError: the file cannot be written; a former one stands untouched.
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
