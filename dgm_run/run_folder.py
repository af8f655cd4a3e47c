"""A run's folder: its lock, its configuration, and the trained model in it."""

import fcntl
import hashlib
import json
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from dgm_run.checkpoint import Checkpoints
from dgm_run.config import MAY_CHANGE, OF_THE_MACHINE, instantiate
from dgm_run.data.corrupt import Corruption
from dgm_run.errors import CheckpointError, ConfigError
from dgm_run.memory import out_of_memory
from dgm_run.models.corrupted import corrupted
from dgm_run.signature import target_of

VOCABULARY = "vocabulary.txt"
"""The words of a model of sentences, in the order of their numbers."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a run folder for this process; made if it does not exist.

    Raises:
        CheckpointError: another run is at work in it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = open(folder / ".lock", "a+")  # noqa: SIM115 - held while the block runs
    except OSError as error:
        raise CheckpointError(f"cannot write to the run folder {folder}: {error.strerror}") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            raise CheckpointError(f"{folder} is in use by {handle.read().strip() or 'another run'}") from None
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        handle.flush()
        yield


def config_path(folder: Path) -> Path:
    return folder / ".hydra" / "config.yaml"


def save_config(folder: Path, config: dict[str, Any]) -> None:
    """Writes the configuration where Hydra writes it, for a run that Hydra did not start or a folder it changed.

    Raises:
        OSError: it cannot be written; what was there stands untouched.
    """
    path, text = config_path(folder), OmegaConf.to_yaml(OmegaConf.create(config))
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError, ValueError):
        if path.read_text(encoding="utf-8") == text:
            return
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def settled(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain values: interpolations of values are resolved, references to parts stay."""

    def walk(raw: Any, resolved: Any) -> Any:
        if isinstance(raw, dict):
            return {name: walk(value, resolved[name]) for name, value in raw.items()}
        return raw if isinstance(resolved, dict) else resolved

    return walk(OmegaConf.to_container(cfg, resolve=False), OmegaConf.to_container(cfg, resolve=True))


def fingerprint(config: dict[str, Any]) -> str:
    """Of all that decides what a run finds: configurations that differ by the machine alone have the same, and those
    that differ by what a paper has found.
    """

    def kept(node: Any, key: str) -> Any:
        if not isinstance(node, dict):
            return node
        names = [(name, f"{key}.{name}" if key else str(name)) for name in node]
        return {str(name): kept(node[name], path) for name, path in names if path not in (*OF_THE_MACHINE, "published")}

    return hashlib.sha256(json.dumps(kept(config, ""), sort_keys=True, default=str).encode()).hexdigest()[:16]


def changes(saved: Any, current: Any, key: str = "", may_change: Sequence[str] = MAY_CHANGE) -> list[str]:
    """`key: saved -> current` for every leaf in which two configurations differ and must not."""
    if key in may_change:
        return []
    if isinstance(saved, dict) and isinstance(current, dict):
        names = list(saved) + [name for name in current if name not in saved]
        prefix = f"{key}." if key else ""
        return [line for n in names for line in changes(saved.get(n), current.get(n), f"{prefix}{n}", may_change)]
    return [] if saved == current else [f"{key}: {saved} -> {current}"]


def load(run_dir: str | os.PathLike, packages: Sequence[str] = ()) -> nn.Module:
    """The trained model of a run, from its best checkpoint, in evaluation mode on the CPU.

    The folder is treated as data: nothing in it is unpickled, and of its configuration only torch modules
    defined in `dgm_run` or in the packages named here are built.

    Args:
        run_dir: the folder of a run.
        packages: further packages whose modules may be built.

    Raises:
        CheckpointError: the folder holds no whole run, or names anything else to be built.
    """
    folder = Path(run_dir)
    built = _built(folder)
    for key, node in built.items():
        _refuse_foreign_targets(node, ("dgm_run", *packages), key)
    checkpoints = Checkpoints(folder / "checkpoints")
    weights, _, damaged = checkpoints.load("best" if checkpoints.exists("best") else "last")
    for line in damaged:
        warnings.warn(f"{line}; the one before it is used", stacklevel=2)
    try:
        with out_of_memory(f"the model in {folder} is larger than the memory of this machine"):
            model = instantiate(OmegaConf.create(built["model"]))
            if built["dataset.corrupt"]:
                model = corrupted(model, instantiate(OmegaConf.create(built["dataset.corrupt"])))
            precision = {value.dtype for value in weights.values() if value.is_floating_point()}
            if precision:
                model.to(max(precision, key=lambda dtype: dtype.itemsize))
            model.load_state_dict(weights)
    except (RuntimeError, TypeError, ValueError, ConfigError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"the weights in {folder} do not fit its configuration: {reason}") from None
    return model.eval()


def saved_config(folder: Path) -> dict[str, Any]:
    """The configuration of a run, as plain values.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    return _saved(folder, lambda cfg: OmegaConf.to_container(cfg, resolve=False))


def _built(folder: Path) -> dict[str, Any]:
    """What a model is built from: its configuration, and that of what it sees its examples through."""

    def take(cfg: DictConfig) -> dict[str, Any]:
        nodes = {"model": cfg.model, "dataset.corrupt": OmegaConf.select(cfg, "dataset.corrupt")}
        return {key: node and OmegaConf.to_container(node, resolve=True) for key, node in nodes.items()}

    return _saved(folder, take)


def _saved(folder: Path, take: Callable[[DictConfig], Any]) -> Any:
    try:
        cfg = OmegaConf.load(config_path(folder))
        if not isinstance(cfg, DictConfig) or "model" not in cfg:
            raise CheckpointError(f"{config_path(folder)} is no configuration of a run")
        return take(cfg)
    except FileNotFoundError:
        raise CheckpointError(f"{folder} is no run folder: it has no .hydra/config.yaml") from None
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{config_path(folder)} cannot be read: {reason}") from None


def _refuse_foreign_targets(node: Any, packages: Sequence[str], key: str) -> None:
    if isinstance(node, list):
        node = dict(enumerate(node))
    if isinstance(node, str) and "${" in node:  # escaped once, it would come alive when the tree is built
        raise CheckpointError(f"{key}: an interpolation that is left after all are resolved is not built: {node}")
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        path = str(node["_target_"])
        if not _is_module_of(path, packages, node, key):
            raise CheckpointError(
                f"{key}._target_: {path} is not built from a run folder: it is no torch module of "
                f"{', '.join(packages)}; name its package in load(run_dir, packages=[...]) if you trust it"
            )
    for name, value in node.items():
        _refuse_foreign_targets(value, packages, f"{key}.{name}")


def _is_module_of(path: str, packages: Sequence[str], node: dict, key: str) -> bool:
    if path.split(".")[0] not in packages or "__main__" in path:  # before anything is imported
        return False
    try:
        target = target_of(node, key)
    except ConfigError:
        return False
    # a path through an imported name, as in dgm_run.log.os.mkdir, ends elsewhere
    ours = isinstance(target, type) and target.__module__.split(".")[0] in packages
    return ours and issubclass(target, (nn.Module, Corruption))
