"""Composes the configuration from YAML files and overrides, and builds its objects."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dgm_run.config.hydra_compose import compose_with_hydra, describe_omegaconf
from dgm_run.config.hydra_errors import describe_hydra_error
from dgm_run.config.leaves import iterate_leaves
from dgm_run.config.overrides import is_data_path, is_network_file, read_key, read_value
from dgm_run.config.schema import GROUPS, NESTED_LIST_GROUPS, PARTS, SHARED_SIZES
from dgm_run.errors import ConfigError, UserError
from dgm_run.memory import is_out_of_memory

MISSING_KEY = object()
"""Stands for the value of a key that is not there."""


def compose(*overrides: str, config_dir: str | os.PathLike | None = None) -> DictConfig:
    """Composes the configuration of `dgm-run OVERRIDES...`, for use from Python.

    Args:
        overrides: overrides as on the command line.
        config_dir: folder of your own YAML files, as for `--config-dir`; None for none.

    Raises:
        ConfigError: the folder does not exist, or an override cannot be applied; one line says why.
    """
    if config_dir is not None and not Path(config_dir).is_dir():
        raise ConfigError(f"config_dir: there is no folder {config_dir}: name one with YAML files")
    try:
        return compose_with_hydra(overrides, config_dir)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        folders = [] if config_dir is None else [Path(config_dir)]
        raise ConfigError(describe_hydra_error(error, overrides, folders)) from error


def override_config(cfg: DictConfig, overrides: Sequence[str], config_dir: str | os.PathLike | None = None) -> None:
    """Applies overrides of the command line to a configuration that no command composed, in place.

    A new choice of a group is composed with its own overrides; other groups stay as they are.

    Args:
        cfg: configuration of a run.
        overrides: choices of groups, and values of keys.
        config_dir: as for `compose`.

    Raises:
        ConfigError: an override cannot be applied; one line says why.
    """
    _restore_shared_sizes(cfg)
    chosen = {group for group in (*GROUPS, *NESTED_LIST_GROUPS) if group in map(read_key, overrides)}
    nodes = {group.partition("/")[0] for group in chosen}
    own = [each for each in overrides if re.split(r"[./]", read_key(each))[0] in nodes]
    composed = compose(*own, config_dir=config_dir) if own else cfg
    for node in nodes:
        cfg[node] = composed[node]
    for each in overrides:
        if each in own:
            continue
        key = read_key(each)
        if OmegaConf.select(cfg, key, default=MISSING_KEY) is MISSING_KEY:
            raise ConfigError(f"{key}: there is no such key in the configuration of the run")
        OmegaConf.update(cfg, key, read_value(each))


def _restore_shared_sizes(cfg: DictConfig) -> None:
    """Lets parts follow the sizes that they share again, in place: a run folder has their values."""
    for part in (*PARTS, "model"):
        for name, source in SHARED_SIZES.items():
            if source != part and cfg[part] is not None and name in cfg[part] and name in cfg[source]:
                cfg[part][name] = f"${{{source}.{name}}}"


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


def as_config(node: DictConfig | ListConfig) -> DictConfig:
    """Narrows the type of a configuration that is no list."""
    assert isinstance(node, DictConfig)
    return node


def as_dict(cfg: DictConfig, resolve: bool) -> dict[str, Any]:
    """Converts a configuration to plain values; with `resolve`, no value may be missing."""
    plain = OmegaConf.to_container(cfg, resolve=resolve, throw_on_missing=resolve)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
