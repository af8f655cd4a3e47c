"""The runs in a folder, as they are found on the disk: finished, failed, stopped, or damaged."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
import yaml

State = Literal["finished", "failed", "unfinished", "damaged"]


@dataclass(frozen=True)
class Run:
    """One run folder.

    Attributes:
        path: where it is.
        state: whether it has ended, and how.
        message: what is to be said of one that is not finished.
        settings: its configuration, flat: dotted key to value.
        results: the contents of results.json; empty where it is not finished.
        values: of single test examples, by "split/quantity/estimator", (N,) each.
        curves: logged values by name, as (epochs, values).
    """

    path: Path
    state: State
    message: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    curves: Mapping[str, tuple[list[float], list[float]]] = field(default_factory=dict)

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """What its numbers are to be read with: (quantity, warning)."""
        return [(row["quantity"], str(row["warning"])) for row in self.results["estimates"] if row.get("warning")]

    @property
    def is_collapsed(self) -> bool:
        """Whether its estimators found that the model has learned next to nothing."""
        return any("collapsed" in warning for _, warning in self.warnings)

    @property
    def version(self) -> str:
        """Of the code that found its numbers."""
        found = self.results.get("environment") or {}
        names = ("dgm_run", "torch", "commit")
        return ", ".join(f"{name} {found[name]}" for name in names if found.get(name)) or "unknown"

    @property
    def experiment(self) -> str | None:
        """The preset that it was begun with."""
        try:
            overrides = yaml.safe_load((self.path / ".hydra" / "overrides.yaml").read_text())
        except (OSError, ValueError, yaml.YAMLError):
            return None
        chosen = [str(each).partition("=")[2] for each in overrides or () if str(each).startswith("+experiment=")]
        return chosen[0] if chosen else None

    def pictures(self, name: str) -> list[Path]:
        """The picture files of this name, the last one last."""
        return sorted((self.path / name).glob("*.png"))


def collect(folder: Path) -> list[Run]:
    """All runs in a folder and below it, in the order of their paths; none is fatal."""
    return [_read(path.parent.parent) for path in sorted(folder.rglob(".hydra/config.yaml"))]


def _read(path: Path) -> Run:
    try:
        config = yaml.safe_load((path / ".hydra" / "config.yaml").read_text())
        settings = dict(flat(config)) if isinstance(config, dict) else None
        if settings is None or "model" not in config:
            return Run(path, "damaged", ".hydra/config.yaml is no configuration of a run")
    except (OSError, ValueError, yaml.YAMLError) as error:
        return Run(path, "damaged", f".hydra/config.yaml cannot be read: {_line(error)}")
    curves = _curves(path)
    try:
        results = json.loads((path / "results.json").read_text())
        if not all(_is_estimate(row) for row in results["estimates"]):
            raise ValueError("an estimate lacks its value")
    except FileNotFoundError:
        error = path / "error.txt"
        if error.exists():
            return Run(path, "failed", error.read_text(errors="replace").strip(), settings, curves=curves)
        return Run(path, "unfinished", f"to go on: dgm-run trainer.resume={path}", settings, curves=curves)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Run(path, "damaged", f"results.json cannot be read: {_line(error)}", settings, curves=curves)
    return Run(path, "finished", "", settings, results, _values(path), curves)


def _is_estimate(row: Any) -> bool:
    return isinstance(row["value"], int | float) and {"quantity", "estimator", "kind", "split", "settings"} <= set(row)


def flat(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested dicts by their dotted keys."""
    if isinstance(node, dict) and node:
        for name, value in node.items():
            yield from flat(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, node


def _values(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path / "values.npz", allow_pickle=False) as found:
            return dict(found)
    except (OSError, ValueError, EOFError, BadZipFile):
        return {}


def _curves(path: Path) -> dict[str, tuple[list[float], list[float]]]:
    found: dict[str, tuple[list[float], list[float]]] = {}
    try:
        lines = (path / "metrics.jsonl").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            row = json.loads(line)
            epochs, values = found.setdefault(row["name"], ([], []))
            epochs.append(float(row["epoch"]))
            values.append(float(row["value"]))
        except (ValueError, KeyError, TypeError):
            continue  # cut short
    return found


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
