"""The presets: rows of papers and runs of other programs, each with the numbers that it is to reach."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dgm_run.config.published import KINDS, split_source


class Preset(NamedTuple):
    """One file below conf/experiment.

    Attributes:
        name: as in +experiment=NAME.
        dataset: what it is trained on.
        epochs: at most, or None where it leaves them as they are.
        kind: whose number it is, one of `published.KINDS`.
        values: what is to be reached, by quantity.
        source: which paper or program, and where in it.
        hours: of training on one core of a CPU, roughly, as `python -m benchmarks.presets` or a run has found, or None.
    """

    name: str
    dataset: str
    epochs: int | None
    kind: str
    values: dict[str, float]
    source: str
    hours: float | None


def presets(folder: Path) -> Iterator[Preset]:
    """All presets in a folder of experiments, by name."""
    for path in sorted(folder.rglob("*.yaml")):
        node = yaml.safe_load(path.read_text())
        published, trainer = node["published"], node.get("trainer", {})
        name = str(path.relative_to(folder).with_suffix(""))
        numbers = (published["kind"], published["values"], published["source"], published.get("hours"))
        yield Preset(name, _dataset(node), trainer.get("max_epochs"), *numbers)


def _dataset(node: dict[str, Any]) -> str:
    chosen = [each["override /dataset"] for each in node.get("defaults", []) if "override /dataset" in each]
    return chosen[0] if chosen else "digits"


def table(folder: Path) -> str:
    """The presets as lines of text, with the source that a few of them share above them."""
    lines, above = [], ""
    for preset in presets(folder):
        source, _ = split_source(preset.source)
        whose = "" if preset.kind == "paper" else f" ({KINDS[preset.kind]})"
        if source + whose != above:
            above = source + whose
            lines += ["", above]
        cost = [f"{preset.epochs} epochs"] if preset.epochs else []
        cost += [_duration(preset.hours)] if preset.hours else []
        numbers = ", ".join(f"{quantity} {value:g}" for quantity, value in preset.values.items())
        lines.append(f"  +experiment={preset.name:52} {preset.dataset:24} {numbers:26} {', '.join(cost)}".rstrip())
    return "\n".join([*lines[1:], "", "Times are those of training on one core of a CPU."]) + "\n"


def _duration(hours: float) -> str:
    """Roughly."""
    unit, length = next((u, n) for u, n in (("min", 1 / 60), ("hours", 1), ("days", 24)) if hours < 100 * n or n == 24)
    return f"about {float(f'{hours / length:.1g}'):g} {unit}"
