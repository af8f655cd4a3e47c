"""Checkpoints that survive a crash at any moment, and hold no code.

A checkpoint is a folder. `weights.safetensors` holds the model. `state.safetensors` and `state.json` hold the other
state of an exact resume, and `manifest.json` the SHA-256 of each file. A checkpoint is written under a temporary name,
synced and renamed; the former checkpoint stays until then. Nothing is unpickled.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dgm_run.errors import CheckpointError

_TENSOR_KEY = "__tensor__"
_FILES = ("weights.safetensors", "state.safetensors", "state.json")


class Snapshot(NamedTuple):
    """Contents of a checkpoint.

    Attributes:
        weights: parameters and buffers of the model, by name.
        state: other state that an exact resume needs.
    """

    weights: dict[str, Tensor]
    state: dict[str, Any]


class Checkpoints:
    """Checkpoints of one run by name, such as `last` and `best`, each with its predecessor.

    Args:
        folder: folder of the checkpoints; made with the first of them.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def save(self, name: str, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Writes a checkpoint, and keeps the former one as `previous_NAME`.

        Raises:
            OSError: the disk is full or not writable; the former checkpoint is unchanged.
        """
        target = self.folder / name
        previous = self.folder / f"previous_{name}"
        temporary = self.folder / f".{name}.{os.getpid()}.tmp"
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            _write(temporary, weights, state)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise OSError(f"cannot write checkpoint {target}: {error}") from error
        if target.exists():
            shutil.rmtree(previous, ignore_errors=True)
            os.replace(target, previous)
        os.replace(temporary, target)
        _sync(self.folder)

    def exists(self, name: str) -> bool:
        """Returns whether there is a checkpoint of this name, or its predecessor."""
        return (self.folder / name).is_dir() or (self.folder / f"previous_{name}").is_dir()

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any], list[str]]:
        """Loads weights and state, with a message for every damaged checkpoint that was skipped.

        Raises:
            CheckpointError: no undamaged checkpoint exists.
        """
        damaged: list[str] = []
        for path in (self.folder / name, self.folder / f"previous_{name}"):
            if not path.is_dir():
                continue
            try:
                return *_read(path), damaged
            except _DamagedError as error:
                damaged.append(f"checkpoint {path} is damaged ({error})")
        detail = "; ".join(damaged) if damaged else f"there is no checkpoint '{name}' in {self.folder}"
        raise CheckpointError(f"{detail}: put back a copy of it, or start a new run in another folder")

    def remove_temporaries(self) -> None:
        """Removes unfinished checkpoints of killed processes."""
        for path in self.folder.glob(".*.tmp"):
            shutil.rmtree(path, ignore_errors=True)


def _write(folder: Path, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
    tensors: dict[str, Tensor] = {}
    tree = flatten(state, tensors)
    save_file(_separate(weights), folder / "weights.safetensors")
    save_file(_separate(tensors), folder / "state.safetensors")
    (folder / "state.json").write_text(json.dumps(tree))
    (folder / "manifest.json").write_text(json.dumps({name: _sha256(folder / name) for name in _FILES}))
    for name in (*_FILES, "manifest.json"):
        _sync(folder / name)
    _sync(folder)


def _separate(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies tensors that share memory, or are no more than a part of it, because the file admits neither."""
    separate: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, value in tensors.items():
        storage = value.untyped_storage()
        is_whole = value.is_contiguous() and storage.nbytes() == value.nbytes and storage.data_ptr() not in places
        separate[name] = value.detach() if is_whole else value.detach().clone(memory_format=torch.contiguous_format)
        places.add(storage.data_ptr())
    return separate


class _DamagedError(Exception):
    """Error of a damaged checkpoint. The message names the defect."""


def _read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads weights and state of a checkpoint.

    Raises:
        _DamagedError: a file is missing, unreadable, or differs from its checksum.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        for name in _FILES:
            if _sha256(folder / name) != manifest[name]:
                raise _DamagedError(f"{name} does not match its checksum")
        tensors = load_file(folder / "state.safetensors")
        state = unflatten(json.loads((folder / "state.json").read_text()), tensors)
        return load_file(folder / "weights.safetensors"), state
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:  # checksums can be forged
        raise _DamagedError(f"one of its files cannot be read: {type(error).__name__}") from None


def flatten(node: Any, tensors: dict[str, Tensor], path: str = "") -> Any:
    """Returns `node` as a JSON tree with names in the place of tensors, and puts the tensors into `tensors`."""
    if isinstance(node, Tensor):
        tensors[path] = node
        return {_TENSOR_KEY: path}
    if isinstance(node, dict):
        # keys may be numbers, as in an optimizer's state: kept as pairs
        return {"__dict__": [[k, flatten(v, tensors, f"{path}/{k}")] for k, v in node.items()]}
    if isinstance(node, list | tuple):
        return [flatten(value, tensors, f"{path}/{i}") for i, value in enumerate(node)]
    if node is None or isinstance(node, bool | int | float | str):
        return node
    raise TypeError(f"{path}: a checkpoint holds tensors, numbers, strings, lists and dicts, not {type(node)}")


def unflatten(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """Inverts `flatten`, except that tuples become lists."""
    if isinstance(tree, dict):
        if _TENSOR_KEY in tree:
            return tensors[tree[_TENSOR_KEY]]
        return {key: unflatten(value, tensors) for key, value in tree["__dict__"]}
    if isinstance(tree, list):
        return [unflatten(value, tensors) for value in tree]
    return tree


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
