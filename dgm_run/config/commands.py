"""Reads and writes commands: options for own code, Hydra's overrides, the start of a run, quoting.

Every command in a message comes from here. It has absolute paths, so that it can be pasted into bash in any folder.
"""

import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString, Sweep
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dgm_run.errors import CheckpointError, ConfigError

START = "start.json"
"""File in a run folder that holds the overrides and the own code of the run's start."""

TRUSTED_PACKAGES = ("dgm_run", "torch")
"""Packages that a command need not name by `--package`."""


@dataclass(frozen=True)
class OwnCode:
    """Code outside dgm_run that a command names.

    Args:
        config_dir: absolute folder of YAML files; None for none.
        packages: names of packages, or absolute paths of their folders or files.
    """

    config_dir: str | None = None
    packages: tuple[str, ...] = ()

    @property
    def options(self) -> list[str]:
        """Options of the command that name this code."""
        config_dir = ["--config-dir", self.config_dir] if self.config_dir else []
        return config_dir + [word for package in self.packages for word in ("--package", package)]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the packages, as Python imports them."""
        return tuple(map(_get_import_name, self.packages))

    def __or__(self, other: "OwnCode") -> "OwnCode":
        """Adds missing packages of `other`, and its folder where this code has none."""
        more = [package for package in other.packages if _get_import_name(package) not in self.names]
        return OwnCode(self.config_dir or other.config_dir, (*self.packages, *more))

    def covers(self, other: "OwnCode") -> bool:
        """Returns whether this code names every package of `other`, and a folder if `other` has one."""
        return bool(self.config_dir or not other.config_dir) and set(other.names) <= set(self.names)


@dataclass(frozen=True)
class Start:
    """Start of a run: its overrides, with absolute data paths, and its own code."""

    overrides: tuple[str, ...] = ()
    own: OwnCode = OwnCode()


def take_options(arguments: Iterable[str]) -> tuple[OwnCode, list[str]]:
    """Splits `--config-dir DIR` and every `--package NAME` from the other arguments.

    Hydra has a `--package` of its own beside `--cfg` and `--info`, which stays among the arguments.

    Raises:
        ConfigError: an option has no value, or its folder or package does not exist.
    """
    arguments = list(arguments)
    has_hydra_package = bool({"--cfg", "-c", "--info", "-i"} & {word.partition("=")[0] for word in arguments})
    config_dir: str | None = None
    packages: list[str] = []
    others = []
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option not in ("--config-dir", "-cd", "--package") or (option == "--package" and has_hydra_package):
            others.append(word)
            continue
        value = value if equals else next(words, "")
        if option == "--package":
            packages.append(_resolve_package(value))
        elif config_dir is not None:
            raise ConfigError("--config-dir: give it once: put the groups of both folders into one")
        elif not Path(value).is_dir() or not value:
            raise ConfigError(
                f"--config-dir: there is no folder {value}: name a folder of YAML files: --config-dir DIR"
            )
        else:
            config_dir = os.path.abspath(value)
    return OwnCode(config_dir, tuple(dict.fromkeys(packages))), others


def split_flags(arguments: Iterable[str]) -> tuple[list[str], list[str]]:
    """Splits arguments into overrides and Hydra's options, which must not stand between overrides."""
    overrides: list[str] = []
    flags: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in ("--cfg", "-c", "--package", "-p", "--experimental-rerun"):
            flags += [word, *islice(words, 1)]
        elif word.startswith("-") or (flags and flags[-1] in ("--info", "-i") and "=" not in word):
            flags.append(word)
        else:
            overrides.append(word)
    return overrides, flags


def _resolve_package(value: str) -> str:
    """Returns the name of a package, or the absolute path of its folder or file."""
    if all(part.isidentifier() for part in value.split(".")) and not value.endswith(".py"):
        place = locate_package(value, Path.cwd())
        if place != value or find_spec(value.partition(".")[0]):
            return place
    path = Path(os.path.abspath(value))
    path = path if path.exists() else path.with_name(f"{path.name}.py")
    if not value or not path.exists() or not path.stem.isidentifier():
        raise ConfigError(f"--package: there is no package {value}: give its name, its folder or its .py file")
    return str(path)


def _get_import_name(package: str) -> str:
    return Path(package).stem if os.sep in package else package


def make_importable(packages: Iterable[str]) -> tuple[str, ...]:
    """Puts the folders of packages given by path on Python's search path.

    Returns:
        The names of all packages, as Python imports them.
    """
    for package in packages:
        folder = os.path.dirname(package)
        if folder and folder not in sys.path:
            sys.path.append(folder)
    return tuple(map(_get_import_name, packages))


def find_packages(targets: Iterable[str], base: Path) -> tuple[str, ...]:
    """Lists the packages outside dgm_run and torch that targets lie in.

    Args:
        targets: values of `_target_`.
        base: current folder of the command; a package in it is listed by its path.
    """
    names = sorted({target.partition(".")[0] for target in targets} - set(TRUSTED_PACKAGES))
    return tuple(locate_package(name, base) for name in names)


def locate_package(name: str, base: Path) -> str:
    """Returns the path of a package in the folder `base`, else the name of the package."""
    places = (base / name, base / f"{name}.py")
    return next((str(place) for place in places if place.exists()), name)


def list_targets(node: Any) -> Iterator[str]:
    """Yields every `_target_` in plain containers."""
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from list_targets(value)


# Overrides.


def quote(value: str) -> str:
    """Quotes a text so that Hydra and OmegaConf read it back unchanged."""
    value = re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", value)  # else OmegaConf looks up a key
    is_plain = re.fullmatch(r"[/A-Za-z][A-Za-z0-9_/.-]*", value) and read_value(f"x={value}") == value
    mark = Quote.double if "'" in value and '"' not in value else Quote.single
    return value if is_plain else QuotedString(value, mark).with_quotes()


def write_override(key: str, value: str | os.PathLike) -> str:
    """Writes `key=value` as Hydra reads it."""
    return f"{key}={quote(os.fspath(value))}"


def read_value(text: str) -> Any:
    """Reads the value of an override as Hydra does; None if there is none or it cannot be read."""
    try:
        value = OverridesParser.create().parse_override(text).value()
        return OmegaConf.create({"value": value})["value"] if isinstance(value, str) else value
    except (HydraException, OmegaConfBaseException):  # Hydra reports it later
        return None


def read_key(text: str) -> str:
    """Returns the key of an override."""
    return text.partition("=")[0].lstrip("+~")


def read_folder(text: str) -> Path | None:
    """Reads the folder that an override names; None if it names none, or sweeps over several."""
    value = read_value(text)
    if value in (None, "") or isinstance(value, Sweep):
        return None
    name = value if isinstance(value, str) else text.partition("=")[2]  # a folder may be named 007
    return Path(os.path.abspath(name))


def is_data_path(key: str) -> bool:
    """Returns whether a key holds a path of data, including data of an estimator."""
    group = key.partition(".")[0]
    name = key.rpartition(".")[2]
    return key == "data_dir" or (group in ("dataset", "estimators") and name in ("data_dir", "decoded", "path"))


def store_overrides(overrides: list[str], places: dict[str, str]) -> list[str]:
    """Puts absolute data paths into the overrides of a run's start.

    Args:
        overrides: overrides of the command.
        places: absolute paths by key.
    """
    written_keys = {read_key(each): each.partition("=")[0] for each in overrides}  # with their + or ~
    others = [each for each in overrides if read_key(each) not in places]
    return others + [write_override(written_keys.get(key, key), place) for key, place in places.items()]


# The start of a run.


def write_start(folder: Path, start: Start) -> None:
    """Writes the start of a run into its folder."""
    (folder / START).write_text(json.dumps(asdict(start), indent=2))


def move_data(folder: Path, start: Start) -> None:
    """Writes the data paths of `start` into a run folder. The caller has checked that they hold the same data."""
    places = {read_key(each): read_value(each) for each in start.overrides if is_data_path(read_key(each))}
    old = read_start(folder)
    if old and (folder / START).exists():
        write_start(folder, replace(old, overrides=tuple(store_overrides(list(old.overrides), places))))


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
    return saved if isinstance(saved, list) and all(map(_is_override, saved)) else None


def _is_override(text: Any) -> bool:
    try:
        return isinstance(text, str) and bool(OverridesParser.create().parse_override(text))
    except HydraException:
        return False


# Commands.


def join_for_shell(*words: str | os.PathLike) -> str:
    """Joins words to a command for bash."""
    return shlex.join(os.fspath(word) for word in words)


def resume_run(folder: Path, overrides: Sequence[str] = (), own: OwnCode = OwnCode()) -> str:
    """Writes the command that resumes a run.

    Args:
        folder: folder of the run.
        overrides: further overrides.
        own: code that the command names, in addition to the code of the run.
    """
    start = read_start(folder)
    if start is None and (folder / ".hydra").is_dir():
        return f"dgm_run.run(cfg, {os.path.abspath(folder)!r}) in Python, with trainer.resume=auto"
    own = own | start.own if start else own
    return join_for_shell(
        "dgm-run", *own.options, *overrides, write_override("trainer.resume", os.path.abspath(folder))
    )


def resume_sweep(folder: Path, own: OwnCode) -> str:
    """Writes the command that runs the missing jobs of a sweep."""
    return join_for_shell("dgm-run", *own.options, write_override("sweep.resume", os.path.abspath(folder)))


def evaluate_run(folder: Path, overrides: Sequence[str] = (), own: OwnCode = OwnCode()) -> str:
    """Writes the command that evaluates a run again."""
    start = read_start(folder)
    own = own | start.own if start else own
    return join_for_shell("dgm-eval", *own.options, os.path.abspath(folder), *overrides)


def run_estimators(folder: Path, names: Sequence[str]) -> str:
    """Writes the command that runs some estimators of a run again, with their settings."""
    chosen = tuple(f"estimators.{name}." for name in names)
    settings = [each for each in (read_start(folder) or Start()).overrides if read_key(each).startswith(chosen)]
    return evaluate_run(folder, [f"estimators=[{','.join(names)}]", *settings])


def sample_run(folder: Path, settings: Sequence[str] = (), own: OwnCode = OwnCode()) -> str:
    """Writes the command that draws from the model of a run."""
    return join_for_shell("dgm-sample", *own.options, os.path.abspath(folder), *settings)


def report_runs(folder: Path) -> str:
    """Writes the command that compares the runs in a folder."""
    return join_for_shell("dgm-report", os.path.abspath(folder))


def show_runs(folder: Path) -> str:
    """Writes the command that shows the runs in a folder in TensorBoard."""
    return join_for_shell("tensorboard", "--logdir", os.path.abspath(folder))
