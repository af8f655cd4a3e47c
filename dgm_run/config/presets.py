"""Presets: rows of papers and runs of other programs, each with the published numbers to reach.

`conf/experiment/PAPER/ROW.yaml` is a preset. `conf/experiment/PAPER/base/NAME.yaml` holds settings that presets share;
a preset names its bases in its defaults list. A base is no preset: nothing lists it.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dgm_run.config.published import KINDS, split_source

BASE_FOLDER = "base"
"""Folder of the bases, inside the folder of a paper."""


class Preset(NamedTuple):
    """Preset for a row of a paper, or for a run of another program.

    Attributes:
        name: name, as in +experiment=NAME.
        dataset: data set to train on.
        epochs: largest number of epochs; None for the default.
        kind: kind of the published number, one of `published.KINDS`.
        values: published numbers by quantity.
        source: paper or program, and the place of the number in it.
        hours: approximate training time on one CPU core, from `python -m benchmarks.presets` or a run; None if unknown.
    """

    name: str
    dataset: str
    epochs: int | None
    kind: str
    values: dict[str, float]
    source: str
    hours: float | None


def list_presets(folder: Path) -> list[str]:
    """Returns the names of all presets in a folder of experiments, without the bases, in order."""
    paths = [path for path in sorted(folder.rglob("*.yaml")) if path.parent.name != BASE_FOLDER]
    return [path.relative_to(folder).with_suffix("").as_posix() for path in paths]


def read_presets(folder: Path) -> Iterator[Preset]:
    """Reads all presets in a folder of experiments, in the order of their names."""
    for name in list_presets(folder):
        choices, settings = _read_on_bases(folder, name)
        published = settings["published"]
        numbers = (published["kind"], published["values"], published["source"], published.get("hours"))
        epochs = settings.get("trainer", {}).get("max_epochs")
        yield Preset(name, choices.get("/dataset", "digits"), epochs, *numbers)


@cache
def _read_on_bases(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads a preset or a base, with the settings of its own bases below its own, as Hydra merges them.

    Returns:
        The choices by group, as in "/dataset", and the settings.
    """
    own = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
    choices: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for entry in own.pop("defaults", []):
        if isinstance(entry, dict):
            choices |= {group.removeprefix("override "): choice for group, choice in entry.items()}
            continue
        base_choices, base_settings = _read_on_bases(folder, entry.removeprefix("/experiment/"))
        choices |= base_choices
        settings = _merge(settings, base_settings)
    return choices, _merge(settings, own)


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merges settings key by key; `above` overrides `below`."""
    shared = [name for name in below.keys() & above.keys() if isinstance(below[name], dict)]
    return below | above | {name: _merge(below[name], above[name]) for name in shared}


def format_presets(folder: Path) -> str:
    """Formats the presets as lines of text, grouped below their sources."""
    lines = []
    heading = ""
    for preset in read_presets(folder):
        source, _ = split_source(preset.source)
        kind = "" if preset.kind == "paper" else f" ({KINDS[preset.kind]})"
        if source + kind != heading:
            heading = source + kind
            lines += ["", heading]
        cost = [f"{preset.epochs} epochs"] if preset.epochs else []
        cost += [_format_duration(preset.hours)] if preset.hours else []
        numbers = ", ".join(f"{quantity} {value:g}" for quantity, value in preset.values.items())
        lines.append(f"  +experiment={preset.name:52} {preset.dataset:24} {numbers:26} {', '.join(cost)}".rstrip())
    return "\n".join([*lines[1:], "", "Times are for training on one CPU core."]) + "\n"


def _format_duration(hours: float) -> str:
    """Formats a duration with one significant digit, in minutes, hours or days."""
    if hours < 100 / 60:
        duration, unit = hours * 60, "min"
    elif hours < 100:
        duration, unit = hours, "hours"
    else:
        duration, unit = hours / 24, "days"
    return f"about {float(f'{duration:.1g}'):g} {unit}"
