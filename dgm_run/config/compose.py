"""Composes the configuration from YAML files and overrides, and builds its objects."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from dgm_run.config.leaves import iterate_leaves
from dgm_run.config.overrides import is_data_path, is_network_file, quote
from dgm_run.config.schema import PRESET_NEUTRAL_KEYS
from dgm_run.errors import ConfigError, UserError
from dgm_run.memory import is_out_of_memory


def conf_dir() -> Path:
    """Returns the folder of YAML files: inside the installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parents[1]
    return here / "conf" if (here / "conf").is_dir() else here.parent / "conf"


def compose(*overrides: str, config_dir: str | os.PathLike | None = None) -> DictConfig:
    """Composes the configuration of `dgm-run OVERRIDES...`, for use from Python.

    Args:
        overrides: overrides as on the command line.
        config_dir: folder of your own YAML files, as for `--config-dir`; None for none.

    Raises:
        ConfigError: the folder does not exist.
    """
    if config_dir is not None and not Path(config_dir).is_dir():
        raise ConfigError(f"config_dir: there is no folder {config_dir}: name one with YAML files")
    search = [] if config_dir is None else [f"hydra.searchpath=[{quote(f'file://{os.path.abspath(config_dir)}')}]"]
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = hydra.compose("config", overrides=[*overrides, *search])
    annotate_published(cfg, overrides)
    return cfg


def resolve_data_paths(cfg: DictConfig, base: str | os.PathLike) -> dict[str, str]:
    """Makes the paths of data and of networks in a configuration absolute, in place.

    Args:
        cfg: configuration.
        base: folder that relative paths start from.

    Returns:
        Absolute paths by key: `data_dir`, and every other path that was relative.
    """
    paths = {}
    leaves = dict(iterate_leaves(OmegaConf.to_container(cfg, resolve=False)))
    keys = [key for key, value in leaves.items() if is_data_path(key) or is_network_file(key, value)]
    for key in ("data_dir", *keys):
        try:
            value = OmegaConf.select(cfg, key)
        except OmegaConfBaseException:  # `validate` reports it
            continue
        if isinstance(value, str) and (key == "data_dir" or not os.path.isabs(value)):
            paths[key] = os.path.abspath(os.path.join(base, os.path.expanduser(value)))
            OmegaConf.update(cfg, key, paths[key])
    return paths


def complete_factory(cfg: DictConfig) -> None:
    """Turns the name of a model's factory into a node with a `_target_`, in place.

    All code that a configuration names then has this form, so that no check of it misses the factory.
    """
    factory = OmegaConf.select(cfg, "model.factory", throw_on_missing=False)
    if isinstance(factory, str):
        cfg.model.factory = {"_target_": factory, "_partial_": True}


def annotate_published(cfg: DictConfig, overrides: Iterable[str]) -> None:
    """Adds the overrides that change a preset to the text of its published source; drops the numbers for other data."""
    changed = [each for each in overrides if not _is_neutral(each.partition("=")[0].lstrip("+~"))]
    if any(each.lstrip("+~").startswith("dataset") for each in changed):
        cfg.published = None
    elif changed and OmegaConf.is_dict(cfg.published) and "source" in cfg.published:
        cfg.published.source += f"; changed: {', '.join(changed)}"


def _is_neutral(key: str) -> bool:
    """Returns whether a key changes no published number: a seed, or a key of the machine, the log or the estimators."""
    return key.endswith("seed") or key.startswith(PRESET_NEUTRAL_KEYS)


def instantiate(node: Any) -> Any:
    """Builds the object tree of a node.

    Raises:
        ConfigError: a constructor refuses its arguments; one line names the key.
        UserError: a constructor raised it; it passes unchanged.
    """
    try:
        return hydra.utils.instantiate(node, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError) or (cause and is_out_of_memory(cause)):
            raise cause from None
        key = str(error).rsplit("full_key: ", 1)[1] if "full_key: " in str(error) else ""
        raise ConfigError(describe_build_error(key, cause or error)) from cause
    except OmegaConfBaseException as error:
        raise ConfigError(describe_omegaconf(error)) from error


def describe_build_error(key: str, error: BaseException) -> str:
    """Describes the exception of a constructor in one line after its key."""
    message = str(error).strip().split("\n")[0] or type(error).__name__
    if not isinstance(error, ValueError):  # an error that no check of this package raises
        message = f"cannot be built ({type(error).__name__}: {message})"
    return f"{key}: {message}" if key else message


def describe_omegaconf(error: OmegaConfBaseException) -> str:
    """Describes a value that is missing, refers to nothing, or has a wrong type, in one line."""
    key = error.full_key or ""
    message = str(error.msg or error).split("\n")[0]
    if isinstance(error, MissingMandatoryValue):
        return f"{key}: it is not set: add {key}=..."
    environment = re.search(r"Environment variable '(.+)' not found", message)
    if environment:
        message = f"it refers to the environment variable {environment[1]}, which is not set"
    if "is not Optional" in message:
        message = "it must have a value"
    missing = re.search(r"Interpolation key '(.+)' not found", message)
    if missing:
        message = f"it refers to {missing[1]}, and there is no such key"
    return f"{key}: {message}" if key else message


def as_config(node: DictConfig | ListConfig) -> DictConfig:
    """Narrows the type of a configuration that is no list."""
    assert isinstance(node, DictConfig)
    return node


def as_dict(cfg: DictConfig, resolve: bool) -> dict[str, Any]:
    """Converts a configuration to plain values; with `resolve`, no value may be missing."""
    plain = OmegaConf.to_container(cfg, resolve=resolve, throw_on_missing=resolve)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
