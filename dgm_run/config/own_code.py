"""Code outside dgm_run that a command names: the options `--config-dir` and `--package`, and the packages of a run."""

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dgm_run.errors import ConfigError

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


NO_OWN_CODE = OwnCode()
"""Own code of a command that names none."""


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
    """Returns the path of a package in the folder `base`; the name of a package that is not there."""
    paths = (base / name, base / f"{name}.py")
    return next((str(path) for path in paths if path.exists()), name)


def list_targets(node: Any) -> Iterator[str]:
    """Yields every `_target_` in plain containers."""
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from list_targets(value)
