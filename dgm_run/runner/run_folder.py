"""Reads and writes a run folder: its configuration, and the trained model in it."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from dgm_run.config.compose import as_config, complete_factory, instantiate
from dgm_run.config.leaves import iterate_leaves
from dgm_run.config.overrides import is_network_file, write_override
from dgm_run.config.own_code import make_importable
from dgm_run.config.schema import DATA_PATH_KEYS, MACHINE_KEYS, RESUMABLE_KEYS
from dgm_run.config.signature import import_target
from dgm_run.data import preprocessing
from dgm_run.data.corruptions import Corruption, MissingValues
from dgm_run.data.preprocessing import Preprocessing
from dgm_run.errors import CheckpointError, ConfigError
from dgm_run.memory import out_of_memory
from dgm_run.models.base import GenerativeModel
from dgm_run.models.corrupted import build_corrupted_model
from dgm_run.models.external import build_external_model
from dgm_run.recording.checkpoint import Checkpoints
from dgm_run.runner.trained_model import TrainedModel

INITIAL_WEIGHTS = "initial_weights.json"
"""File with the source of the initial weights."""

_KEYS_WITHOUT_EFFECT = (*MACHINE_KEYS, *DATA_PATH_KEYS, "published", "trainer.total_epochs")
"""Keys that change no result. `total_epochs` is among them: it has set the epochs of every stage already."""


def config_path(folder: Path) -> Path:
    """Returns the path of Hydra's file with the configuration."""
    return folder / ".hydra" / "config.yaml"


def save_config(folder: Path, config: dict[str, Any]) -> None:
    """Writes the configuration to Hydra's file, which Hydra has not written or has overwritten.

    Raises:
        OSError: the file cannot be written; the former file is unchanged.
    """
    path = config_path(folder)
    text = OmegaConf.to_yaml(OmegaConf.create(config))
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
    """Returns the configuration as plain values. Interpolations of values are resolved, other references stay.

    These are the references to parts, and to the columns of a table.
    """

    def walk(raw: Any, resolved: Any) -> Any:
        if isinstance(raw, dict):
            return {name: walk(value, resolved[name]) for name, value in raw.items()}
        is_reference = isinstance(resolved, dict) or (isinstance(raw, str) and _are_columns(resolved))
        return raw if is_reference else resolved

    return walk(OmegaConf.to_container(cfg, resolve=False), OmegaConf.to_container(cfg, resolve=True))


def _are_columns(value: Any) -> bool:
    """Returns whether a value is a list of columns, each with settings of its own."""
    return isinstance(value, list) and any(isinstance(each, dict) for each in value)


def config_hash(config: dict[str, Any]) -> str:
    """Hashes all keys that change the results of a run.

    Configurations that differ only by the machine or by published numbers have the same hash.
    """

    def select(node: Any, key: str) -> Any:
        if not isinstance(node, dict):
            return node
        names = [(name, f"{key}.{name}" if key else str(name)) for name in node]
        return {str(name): select(node[name], path) for name, path in names if path not in _KEYS_WITHOUT_EFFECT}

    return hashlib.sha256(json.dumps(select(config, ""), sort_keys=True, default=str).encode()).hexdigest()[:16]


def diff_configs(saved: Any, current: Any, key: str = "", may_change: Sequence[str] = RESUMABLE_KEYS) -> list[str]:
    """Lists `key: saved -> current` for every leaf that differs, except below the keys in `may_change`."""
    if key in may_change:
        return []
    if isinstance(saved, dict) and isinstance(current, dict):
        names = list(saved) + [name for name in current if name not in saved]
        prefix = f"{key}." if key else ""
        return [line for n in names for line in diff_configs(saved.get(n), current.get(n), f"{prefix}{n}", may_change)]
    if _are_columns(saved) and _are_columns(current) and len(saved) == len(current):
        pairs = enumerate(zip(saved, current, strict=True))
        return [line for i, (old, new) in pairs for line in diff_configs(old, new, f"{key}[{i}]", may_change)]
    return [] if saved == current else [f"{key}: {saved} -> {current}"]


def describe_config_change(saved: dict[str, Any], current: dict[str, Any]) -> str | None:
    """Describes how a configuration differs from that of the run to resume, and the way out; None if it is equal."""
    changed = diff_configs(saved, current)
    if not changed:
        return None
    before = saved["trainer"]
    now = current["trainer"]
    key = "total_epochs" if before.get("total_epochs") != now.get("total_epochs") else "max_epochs"
    layer_lines = _select_epoch_lines(
        changed, "trainer.pretraining.", before.get("pretraining"), now.get("pretraining")
    )
    schedule_lines = _select_epoch_lines(changed, "schedule.", before, now)
    if before.get(key) == now.get(key) or len(layer_lines) + len(schedule_lines) < len(changed):
        return f"the configuration has changed ({'; '.join(changed)}): keep the former values, or start a new run"
    affected = "epochs of layers" if layer_lines else "learning-rate schedule"
    keep = f"keep trainer.{key}={_format_value(before.get(key))}, or start a new run"
    if schedule_lines and not layer_lines and now["max_epochs"] < before["max_epochs"]:
        kept = " ".join(line.partition(" -> ")[0].replace(": ", "=") for line in schedule_lines)
        keep = f"to end earlier on the same schedule add {kept}; else {keep}"
    elif schedule_lines:
        keep += ": only with schedule=constant, burda or plateau can epochs be added later"
    elif now.get("joint"):
        layers = before["pretraining"]["max_epochs"]
        joint = before["max_epochs"]
        keep += (
            f"; to add epochs after the layers: trainer.total_epochs=null trainer.pretraining.max_epochs={layers} and "
            f"trainer.max_epochs={joint} or more"
        )
    lines = "; ".join([*layer_lines, *schedule_lines])
    return f"trainer.{key}={_format_value(now.get(key))} would change the {affected} ({lines}): {keep}"


def _select_epoch_lines(changed: Sequence[str], prefix: str, before: Any, now: Any) -> list[str]:
    """Selects the changed lines below a key that follow from the number of epochs alone."""
    if not before or not now:
        return []
    epochs = f": {before['max_epochs']} -> {now['max_epochs']}"
    return [line for line in changed if line.startswith(prefix) and line.endswith(epochs)]


def _format_value(value: Any) -> str:
    return "null" if value is None else str(value)


def load(run_dir: str | os.PathLike, packages: Sequence[str] = ()) -> TrainedModel:
    """Loads the trained model of a run from its best checkpoint, on the CPU.

    The folder is treated as data, as `load_model` says. Its data set and its estimators are built when they are first
    used, from dgm_run and the packages named here alone.

    Args:
        run_dir: folder of a run.
        packages: further packages whose code may run, each by its name, its folder or its file.

    Raises:
        CheckpointError: the folder holds no whole run, or its configuration names other code.
    """
    folder = Path(run_dir)
    model = load_model(folder, packages)

    def build(group: str) -> Any:
        node = _read_config(folder, lambda cfg: OmegaConf.to_container(cfg, resolve=True))[group]
        cfg = as_config(OmegaConf.create({group: node or {}}))
        names = make_importable(packages)
        refuse_foreign_targets(cfg, names, lambda name: f"load(run_dir, packages=[{name!r}])")
        if group == "estimators":
            return {name: instantiate(part) for name, part in cfg[group].items()}
        return instantiate(cfg[group])

    return TrainedModel(folder, model, read_preprocessing(folder), build)


def load_model(run_dir: str | os.PathLike, packages: Sequence[str] = ()) -> GenerativeModel:
    """Loads the torch module of a run from its best checkpoint, in evaluation mode on the CPU.

    The module sees standardised values if the run standardised its data.

    The folder is treated as data: nothing in it is unpickled. Only torch modules that are defined in `dgm_run` or in
    the packages named here are built.

    Args:
        run_dir: folder of a run.
        packages: further packages whose modules may be built, each by its name, its folder or its file.

    Raises:
        CheckpointError: the folder holds no whole run, or its configuration names other code.
    """
    folder = Path(run_dir)
    nodes = _read_model_nodes(folder)
    names = ("dgm_run", *make_importable(packages))
    for key, node in (each for part, tree in nodes.items() for each in _list_target_nodes(tree, part)):
        if not _is_module_of(str(node["_target_"]), names, node, key):
            raise CheckpointError(
                f"{key}._target_: {node['_target_']} is not built from a run folder: it is no torch module of "
                f"{', '.join(names)}; name its package in load(run_dir, packages=[...]) if you trust it"
            )
    checkpoints = Checkpoints(folder / "checkpoints")
    weights, _, damaged = checkpoints.load("best" if checkpoints.exists("best") else "last")
    for line in damaged:
        warnings.warn(f"{line}; its predecessor is used", stacklevel=2)
    try:
        with out_of_memory(f"the model in {folder} is larger than the memory of this machine"):
            model = instantiate(OmegaConf.create(nodes["model"]))
            if nodes["dataset.corrupt"]:
                model = build_corrupted_model(model, instantiate(OmegaConf.create(nodes["dataset.corrupt"])))
            elif read_preprocessing(folder).has_missing_values:
                model = build_corrupted_model(model, MissingValues())
            precision = {value.dtype for value in weights.values() if value.is_floating_point()}
            if precision:
                model.to(max(precision, key=lambda dtype: dtype.itemsize))
            model.load_state_dict(weights)
    except (RuntimeError, TypeError, ValueError, ConfigError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"the weights in {folder} do not fit its configuration: {reason}") from None
    return model.eval()


def read_preprocessing(folder: Path) -> Preprocessing:
    """Reads the preprocessing of a run: units of the data and missing values.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        return Preprocessing.read(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / preprocessing.FILE} cannot be read: {error}") from None


def write_initial_weights(folder: Path, settings: Mapping[str, Any], digest: str) -> None:
    """Writes where the initial weights came from, which results.json repeats."""
    source = {"source": str(settings["init_from"]), "parts": settings["init_parts"], "md5": digest}
    (folder / INITIAL_WEIGHTS).write_text(json.dumps(source))


def read_initial_weights(folder: Path) -> dict[str, Any] | None:
    """Reads where the initial weights came from; None for those of the model itself."""
    path = folder / INITIAL_WEIGHTS
    return json.loads(path.read_text()) if path.exists() else None


def load_config(folder: Path) -> dict[str, Any]:
    """Reads the configuration of a run as plain values.

    Raises:
        CheckpointError: the file is missing or cannot be read.
    """
    return _read_config(folder, lambda cfg: OmegaConf.to_container(cfg, resolve=False))


def _read_model_nodes(folder: Path) -> dict[str, Any]:
    """Reads the configuration of the model, and of the corruption of its data."""

    def take(cfg: DictConfig) -> dict[str, Any]:
        nodes = {"model": cfg.model, "dataset.corrupt": OmegaConf.select(cfg, "dataset.corrupt")}
        return {key: node and OmegaConf.to_container(node, resolve=True) for key, node in nodes.items()}

    return _read_config(folder, take)


def _read_config(folder: Path, take: Callable[[DictConfig], Any]) -> Any:
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
    """Refuses a configuration from a run folder that needs packages which the command does not name.

    Args:
        cfg: whole configuration; no target is imported or built before its check.
        packages: names of the packages that the command names.
        command: writes the command that names one more package.

    Raises:
        CheckpointError: one line that names the key, and the command that allows the package.
    """
    try:
        complete_factory(cfg)
        plain = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from None
    for key, node in _list_target_nodes(plain, ""):
        lacking = _find_lacking_package(packages, node, key)
        if lacking:
            raise CheckpointError(
                f"{key}._target_: {node['_target_']} is code outside dgm_run, and a run folder may come from anyone: "
                f"if you trust it, name its package: {command(lacking)}"
            )


def refuse_foreign_networks(cfg: DictConfig, named: Sequence[str], command: Callable[[str], str]) -> None:
    """Refuses files with a network, which can run code, that a run folder names and the command does not.

    Args:
        cfg: whole configuration.
        named: keys of the files that the command itself names.
        command: writes the command with the override that names a file.

    Raises:
        CheckpointError: one line that names the key, and the command that allows the file.
    """
    for key, value in iterate_leaves(OmegaConf.to_container(cfg, resolve=True)):
        if is_network_file(key, value) and key not in named:
            raise CheckpointError(
                f"{key}: {value} is a network, which can run code, and a run folder may come from anyone: if you trust "
                f"it, name it: {command(write_override(key, value))}"
            )


def _find_lacking_package(packages: Sequence[str], node: dict, key: str) -> str | None:
    """Returns the package of untrusted code that a node from a run folder would build; None for trusted code.

    Trusted are classes of dgm_run, modules, optimizers and schedules of torch, and all definitions of named packages.
    """
    path = str(node["_target_"])
    if not _is_within(path, ("dgm_run", "torch", *packages)) or "__main__" in path:  # before anything is imported
        return path.partition(".")[0]
    try:
        target = import_target(node, key)
    except ConfigError as error:
        raise CheckpointError(str(error)) from None
    home = str(getattr(target, "__module__", ""))  # an imported name, as in mine.Popen, has another home
    is_trusted = _is_within(home, packages)
    is_trusted |= isinstance(target, type) and _is_within(home, ("dgm_run",))
    is_trusted |= target is build_external_model
    is_trusted |= isinstance(target, type) and issubclass(target, nn.Module | Optimizer | LRScheduler)
    return None if is_trusted else home.partition(".")[0] or path.partition(".")[0]


def _is_within(path: str, packages: Sequence[str]) -> bool:
    return any(path == package or path.startswith(f"{package}.") for package in packages)


def _list_target_nodes(node: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields key and node of every `_target_` in a configuration whose interpolations are resolved."""
    if isinstance(node, list):
        node = dict(enumerate(node))
    if isinstance(node, str) and "${" in node:  # an escaped interpolation would be resolved while the tree is built
        raise CheckpointError(f"{key}: {node} is an escaped interpolation, which a run folder must not hold: remove it")
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        yield key, node
    for name, value in node.items():
        yield from _list_target_nodes(value, f"{key}.{name}" if key else str(name))


def _is_module_of(path: str, packages: Sequence[str], node: dict, key: str) -> bool:
    if not _is_within(path, packages) or "__main__" in path:  # before anything is imported
        return False
    try:
        target = import_target(node, key)
    except ConfigError:
        return False
    # a path through an imported name, as in dgm_run.recording.log.os.mkdir, ends elsewhere
    home = str(getattr(target, "__module__", ""))
    if not _is_within(home, packages):
        return False
    if isinstance(target, type):
        return issubclass(target, (nn.Module, Corruption))
    return target is build_external_model or not _is_within(home, ("dgm_run",))
