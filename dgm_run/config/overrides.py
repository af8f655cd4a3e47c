"""Reads and writes Hydra's overrides, such as `seed=1`, with its rules of quoting."""

import os
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString, Sweep
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

NETWORK_SUFFIXES = (".pt", ".ts", ".onnx")
"""Suffixes of files with a network that an estimator uses: TorchScript, and ONNX."""


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


def quote(value: str) -> str:
    """Quotes a text so that Hydra and OmegaConf read it back unchanged."""
    value = re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", value)  # escaped: OmegaConf would look up a key
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


def is_override(text: Any) -> bool:
    """Returns whether a value is an override that Hydra can read."""
    try:
        return isinstance(text, str) and bool(OverridesParser.create().parse_override(text))
    except HydraException:
        return False


def is_data_path(key: str) -> bool:
    """Returns whether a key holds a path of data, including data of an estimator."""
    group = key.partition(".")[0]
    name = key.rpartition(".")[2]
    return key == "data_dir" or (group in ("dataset", "estimators") and name in ("data_dir", "decoded", "path"))


def is_network_file(key: str, value: Any) -> bool:
    """Returns whether a setting of an estimator is the file of a network, which can run code."""
    is_file = isinstance(value, str) and value.lower().endswith(NETWORK_SUFFIXES)
    return is_file and key.partition(".")[0] == "estimators"


def set_data_paths(overrides: list[str], paths: dict[str, str]) -> list[str]:
    """Returns overrides with these absolute data paths in the place of the paths that they name, or after them.

    Args:
        overrides: overrides of the command.
        paths: absolute paths by key.
    """
    written_keys = {read_key(each): each.partition("=")[0] for each in overrides}  # keys with their + or ~
    others = [each for each in overrides if read_key(each) not in paths]
    return others + [write_override(written_keys.get(key, key), path) for key, path in paths.items()]
