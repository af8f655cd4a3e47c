"""Start of a run, which its folder keeps: the overrides and the own code of its first command."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from dgm_run.config.overrides import is_data_path, is_override, read_key, read_value, set_data_paths
from dgm_run.config.own_code import NO_OWN_CODE, OwnCode
from dgm_run.errors import CheckpointError

START = "start.json"
"""File in a run folder that holds the overrides and the own code of the run's start."""


@dataclass(frozen=True)
class Start:
    """Start of a run.

    Args:
        overrides: overrides of the first command, with absolute data paths.
        own: code outside dgm_run that the run needs.
    """

    overrides: tuple[str, ...] = ()
    own: OwnCode = NO_OWN_CODE


def write_start(folder: Path, start: Start) -> None:
    """Writes the start of a run into its folder."""
    (folder / START).write_text(json.dumps(asdict(start), indent=2))


def update_data_paths(folder: Path, start: Start) -> None:
    """Replaces the data paths in start.json by those of `start`, at which the caller has found the same data."""
    paths = {read_key(each): read_value(each) for each in start.overrides if is_data_path(read_key(each))}
    former = read_start(folder)
    if former and (folder / START).exists():
        write_start(folder, replace(former, overrides=tuple(set_data_paths(list(former.overrides), paths))))


def make_start(content: Mapping[str, Any]) -> Start:
    """Makes a `Start` from the output of `asdict`, or from the same in JSON."""
    own = content["own"]
    return Start(tuple(content["overrides"]), OwnCode(own["config_dir"], tuple(own["packages"])))


def read_start(folder: Path) -> Start | None:
    """Reads the start of a run; None if dgm-run did not start it.

    A run that failed early has no start.json yet, but it has Hydra's file of overrides.
    """
    try:
        return make_start(json.loads((folder / START).read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        overrides = read_overrides(folder)
    return None if overrides is None else Start(tuple(overrides))


def load_start(folder: Path) -> Start | None:
    """Reads the start of a run, in order to resume it; None if dgm-run did not start it.

    Raises:
        CheckpointError: the record is damaged, and without it another run would result.
    """
    start = read_start(folder)
    path = folder / ".hydra" / "overrides.yaml"
    if start is None and path.exists():
        raise CheckpointError(
            f"{path} is no list of overrides, as in '- seed=1': write into it the overrides that the run started with, "
            "one a line, or [] if there were none"
        )
    return start


def read_overrides(folder: Path) -> list[str] | None:
    """Reads the overrides that Hydra wrote into a run folder for its last command; None if there are none."""
    try:
        saved = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text())
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None
    return saved if isinstance(saved, list) and all(map(is_override, saved)) else None
