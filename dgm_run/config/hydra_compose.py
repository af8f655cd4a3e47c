"""Composes the configuration by Hydra, and says where its YAML files are."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from dgm_run.config.overrides import quote
from dgm_run.config.schema import PRESET_NEUTRAL_KEYS


def conf_dir() -> Path:
    """Returns the folder of YAML files: inside the installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parents[1]
    return here / "conf" if (here / "conf").is_dir() else here.parent / "conf"


def compose_with_hydra(overrides: Sequence[str], config_dir: str | os.PathLike | None = None) -> DictConfig:
    """Composes a configuration; the exceptions of Hydra and OmegaConf pass.

    Args:
        overrides: overrides as on the command line.
        config_dir: folder of your own YAML files; None for none.
    """
    search = [] if config_dir is None else [f"hydra.searchpath=[{quote(f'file://{os.path.abspath(config_dir)}')}]"]
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = hydra.compose("config", overrides=[*overrides, *search])
    annotate_published(cfg, overrides)
    return cfg


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
