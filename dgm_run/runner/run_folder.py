"""A run's folder: its configuration, and the trained model in it."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from dgm_run.config.commands import make_importable
from dgm_run.config.compose import DATA_PLACES, MACHINE_KEYS, RESUMABLE_KEYS, instantiate
from dgm_run.config.signature import target_of
from dgm_run.data import preprocessing
from dgm_run.data.corruptions import Corruption, MissingValues
from dgm_run.data.preprocessing import Preprocessing
from dgm_run.errors import CheckpointError, ConfigError
from dgm_run.memory import out_of_memory
from dgm_run.models.base import GenerativeModel
from dgm_run.models.corrupted import corrupted
from dgm_run.recording.checkpoint import Checkpoints

VOCABULARY = "vocabulary.txt"
"""The words of a model of sentences, in the order of their numbers."""


_WITHOUT_EFFECT = (*MACHINE_KEYS, *DATA_PLACES, "published", "trainer.total_epochs")
"""Keys that decide nothing themselves: the epochs of every stage have been set by `total_epochs`."""


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


def resolve_config(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain values: interpolations of values are resolved, references to parts stay."""

    def walk(raw: Any, resolved: Any) -> Any:
        if isinstance(raw, dict):
            return {name: walk(value, resolved[name]) for name, value in raw.items()}
        return raw if isinstance(resolved, dict) else resolved

    return walk(OmegaConf.to_container(cfg, resolve=False), OmegaConf.to_container(cfg, resolve=True))


def config_hash(config: dict[str, Any]) -> str:
    """Of all that decides what a run finds: configurations that differ by the machine alone have the same, and those
    that differ by what a paper has found.
    """

    def kept(node: Any, key: str) -> Any:
        if not isinstance(node, dict):
            return node
        names = [(name, f"{key}.{name}" if key else str(name)) for name in node]
        return {str(name): kept(node[name], path) for name, path in names if path not in _WITHOUT_EFFECT}

    return hashlib.sha256(json.dumps(kept(config, ""), sort_keys=True, default=str).encode()).hexdigest()[:16]


def config_diff(saved: Any, current: Any, key: str = "", may_change: Sequence[str] = RESUMABLE_KEYS) -> list[str]:
    """`key: saved -> current` for every leaf in which two configurations differ and must not."""
    if key in may_change:
        return []
    if isinstance(saved, dict) and isinstance(current, dict):
        names = list(saved) + [name for name in current if name not in saved]
        prefix = f"{key}." if key else ""
        return [line for n in names for line in config_diff(saved.get(n), current.get(n), f"{prefix}{n}", may_change)]
    return [] if saved == current else [f"{key}: {saved} -> {current}"]


def why_another(saved: dict[str, Any], current: dict[str, Any]) -> str | None:
    """Says by what a configuration is not that of a run to go on with, and the way out; None if it is the same."""
    changed = config_diff(saved, current)
    if not changed:
        return None
    before, now = saved["trainer"], current["trainer"]
    asked = "total_epochs" if before.get("total_epochs") != now.get("total_epochs") else "max_epochs"
    of_layers = _following(changed, "trainer.pretraining.", before.get("pretraining"), now.get("pretraining"))
    of_schedule = _following(changed, "schedule.", before, now)
    if before.get(asked) == now.get(asked) or len(of_layers) + len(of_schedule) < len(changed):
        return f"the configuration has changed: {'; '.join(changed)}"
    what = "epochs of layers" if of_layers else "learning-rate schedule"
    keep = f"keep trainer.{asked}={_written(before.get(asked))}, or start a new run"
    if of_schedule and not of_layers and now["max_epochs"] < before["max_epochs"]:
        kept = " ".join(line.partition(" -> ")[0].replace(": ", "=") for line in of_schedule)
        keep = f"to end earlier on the same schedule add {kept}; else {keep}"
    elif of_schedule:
        keep += ": only with schedule=constant, burda or plateau can epochs be added later"
    elif now.get("joint"):
        layers, whole = before["pretraining"]["max_epochs"], before["max_epochs"]
        keep += (
            f"; to add epochs after the layers: trainer.total_epochs=null trainer.pretraining.max_epochs={layers} and "
            f"trainer.max_epochs={whole} or more"
        )
    told = "; ".join([*of_layers, *of_schedule])
    return f"trainer.{asked}={_written(now.get(asked))} would change the {what} ({told}): {keep}"


def _following(changed: Sequence[str], prefix: str, before: Any, now: Any) -> list[str]:
    """The lines of `changes` below a key that tell of the number of epochs, and of nothing else."""
    if not before or not now:
        return []
    epochs = f": {before['max_epochs']} -> {now['max_epochs']}"
    return [line for line in changed if line.startswith(prefix) and line.endswith(epochs)]


def _written(value: Any) -> str:
    return "null" if value is None else str(value)


def load(run_dir: str | os.PathLike, packages: Sequence[str] = ()) -> GenerativeModel:
    """The trained model of a run, from its best checkpoint, in evaluation mode on the CPU.

    It sees standardised values where the run standardised its data: `model.preprocessing.restore(x)` returns samples in
    the units of the data.

    The folder is treated as data: nothing in it is unpickled, and of its configuration only torch modules
    defined in `dgm_run` or in the packages named here are built.

    Args:
        run_dir: the folder of a run.
        packages: further packages whose modules may be built, each by its name, its folder or its file.

    Raises:
        CheckpointError: the folder holds no whole run, or names anything else to be built.
    """
    folder = Path(run_dir)
    built = _built(folder)
    names = ("dgm_run", *make_importable(packages))
    for key, node in (each for part, tree in built.items() for each in _built_nodes(tree, part)):
        if not _is_module_of(str(node["_target_"]), names, node, key):
            raise CheckpointError(
                f"{key}._target_: {node['_target_']} is not built from a run folder: it is no torch module of "
                f"{', '.join(names)}; name its package in load(run_dir, packages=[...]) if you trust it"
            )
    checkpoints = Checkpoints(folder / "checkpoints")
    weights, _, damaged = checkpoints.load("best" if checkpoints.exists("best") else "last")
    for line in damaged:
        warnings.warn(f"{line}; the one before it is used", stacklevel=2)
    try:
        with out_of_memory(f"the model in {folder} is larger than the memory of this machine"):
            model = instantiate(OmegaConf.create(built["model"]))
            if built["dataset.corrupt"]:
                model = corrupted(model, instantiate(OmegaConf.create(built["dataset.corrupt"])))
            elif read_preprocessing(folder).has_missing_values:
                model = corrupted(model, MissingValues())
            precision = {value.dtype for value in weights.values() if value.is_floating_point()}
            if precision:
                model.to(max(precision, key=lambda dtype: dtype.itemsize))
            model.load_state_dict(weights)
    except (RuntimeError, TypeError, ValueError, ConfigError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"the weights in {folder} do not fit its configuration: {reason}") from None
    model.preprocessing = read_preprocessing(folder)
    return model.eval()


def read_preprocessing(folder: Path) -> Preprocessing:
    """Reads how the model of a run sees its data.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        return Preprocessing.read(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / preprocessing.FILE} cannot be read: {error}") from None


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


def refuse_foreign_targets(cfg: DictConfig, packages: Sequence[str], command: Callable[[str], str]) -> None:
    """Refuses a configuration from a run folder that builds from packages which nobody has named.

    Args:
        cfg: the whole configuration; nothing of it is imported or built before it is checked.
        packages: names of those that the command names.
        command: writes the command that names one more package.

    Raises:
        CheckpointError: one line that names the key, and the command that allows it.
    """
    try:
        plain = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from None
    for key, node in _built_nodes(plain, ""):
        lacking = _lacking_package(packages, node, key)
        if lacking:
            raise CheckpointError(
                f"{key}._target_: {node['_target_']} is code outside dgm_run, and a run folder may come from anyone: "
                f"if you trust it, name its package: {command(lacking)}"
            )


def _lacking_package(packages: Sequence[str], node: dict, key: str) -> str | None:
    """The package that has to be named before a node from a run folder is built.

    Free are the classes of dgm_run, the modules, optimizers and schedules of torch, and all that the named packages
    define.
    """
    path = str(node["_target_"])
    if not _belongs(path, ("dgm_run", "torch", *packages)) or "__main__" in path:  # before anything is imported
        return path.partition(".")[0]
    try:
        target = target_of(node, key)
    except ConfigError as error:
        raise CheckpointError(str(error)) from None
    home = str(getattr(target, "__module__", ""))  # that of an imported name, as in mine.Popen, is another package
    is_free = _belongs(home, packages)
    is_free |= isinstance(target, type) and _belongs(home, ("dgm_run",))
    is_free |= isinstance(target, type) and issubclass(target, nn.Module | Optimizer | LRScheduler)
    return None if is_free else home.partition(".")[0] or path.partition(".")[0]


def _belongs(path: str, packages: Sequence[str]) -> bool:
    return any(path == package or path.startswith(f"{package}.") for package in packages)


def _built_nodes(node: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The nodes with a `_target_`, by key, in a configuration whose interpolations are resolved."""
    if isinstance(node, list):
        node = dict(enumerate(node))
    if isinstance(node, str) and "${" in node:  # escaped once, it would come alive when the tree is built
        raise CheckpointError(f"{key}: an interpolation that is left after all are resolved is not built: {node}")
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        yield key, node
    for name, value in node.items():
        yield from _built_nodes(value, f"{key}.{name}" if key else str(name))


def _is_module_of(path: str, packages: Sequence[str], node: dict, key: str) -> bool:
    if not _belongs(path, packages) or "__main__" in path:  # before anything is imported
        return False
    try:
        target = target_of(node, key)
    except ConfigError:
        return False
    # a path through an imported name, as in dgm_run.recording.log.os.mkdir, ends elsewhere
    ours = isinstance(target, type) and _belongs(target.__module__, packages)
    return ours and issubclass(target, (nn.Module, Corruption))
