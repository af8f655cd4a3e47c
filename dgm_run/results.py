"""results.json: what a run found out, with all that is needed to read the numbers."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn

from dgm_run import parallel
from dgm_run.commands import resume_run
from dgm_run.data.dataset import Dataset
from dgm_run.errors import CheckpointError
from dgm_run.trainers.base import TrainingSummary
from dgm_run.way import key, way


def results(
    choices: Mapping[str, Any],
    model: nn.Module,
    dataset: Dataset,
    estimates: Sequence[Mapping[str, Any]],
    summary: TrainingSummary,
) -> dict[str, Any]:
    """The contents of results.json.

    Args:
        choices: what the configuration says of the run: seed, published number, ...
        model: the trained model.
        dataset: names the data and their binarisation.
        estimates: rows of `Estimate` fields with the split and the seconds they took.
        summary: of the training.
    """
    return {
        "model": type(model).__name__,
        "dataset": dataset.name,
        "binarization": dataset.binarization,
        **choices,
        "estimates": list(estimates),
        "training": asdict(summary),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "environment": environment(next(model.parameters()).device),
    }


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device, processes, threads of each, and the git commit where there is one."""
    return {
        "dgm_run": version("dgm-run"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processes": parallel.size(),
        "threads": torch.get_num_threads(),
        "commit": _commit(),
    }


def _commit() -> str | None:
    """The commit of the code, marked `-dirty` where files of it have changed since."""
    found = subprocess.run(
        ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=False,
    )
    return found.stdout.strip() or None


def read(path: Path) -> dict[str, Any]:
    """The contents of results.json.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    try:
        found = json.loads(path.read_text())
        if not isinstance(found["estimates"], list):
            raise ValueError("no list of estimates")
        return found
    except FileNotFoundError:
        raise CheckpointError(
            f"{path.parent} has no results.json: its run has not ended: {resume_run(path.parent)}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None


def merged(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All estimates; a new one takes the place of an old one that was found in the same way."""
    ways = {way(row) for row in new}
    return [row for row in old if way(row) not in ways] + list(new)


def row(estimate: Any, split: str, seconds: float) -> dict[str, Any]:
    """An estimate as it stands in results.json, where the values of single examples do not."""
    found = asdict(replace(estimate, values=None, baseline=None)) | {"split": split, "seconds": seconds}
    del found["values"], found["baseline"]
    return found


def write_values(path: Path, rows: Sequence[Mapping[str, Any]], values: Mapping[str, Tensor]) -> None:
    """The values of single examples by `way.key`, beside those that are there already.

    Args:
        path: of the .npz file.
        rows: of results.json; values that none of them has any more are dropped.
        values: the new ones, (N,) each.
    """
    known = {key(each) for each in rows}
    try:
        with np.load(path, allow_pickle=False) as old:
            kept = {name: array for name, array in old.items() if name in known}
    except (OSError, ValueError, BadZipFile):
        kept = {}
    temporary = path.with_suffix(f".{os.getpid()}.tmp.npz")
    np.savez_compressed(temporary, **(kept | {name: each.float().numpy() for name, each in values.items()}))
    os.replace(temporary, path)


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Writes atomically: a reader finds the whole file or none."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with open(temporary, "w") as file:
        json.dump(content, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
