"""The runs in a folder, as they are found on the disk: finished, failed, refused, stopped, or damaged."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import yaml

from dgm_run.config.commands import read_overrides, resume_run
from dgm_run.config.published import KINDS
from dgm_run.runner.run_lock import is_run_folder_locked

State = Literal["finished", "failed", "refused", "unfinished", "running", "damaged", "repeated"]


class Published(NamedTuple):
    """Numbers that a preset is to reach.

    Attributes:
        values: by quantity.
        source: where they stand.
        kind: whose numbers they are, one of `published.KINDS`; empty where the run does not say so.
    """

    values: Mapping[str, float]
    source: str
    kind: str

    @property
    def where(self) -> str:
        """Whose numbers they are, and where they stand."""
        return f"{KINDS[self.kind]}: {self.source}" if self.kind in KINDS else self.source


@dataclass(frozen=True)
class Run:
    """One run folder.

    Attributes:
        path: where it is.
        state: whether it has ended, and how; `refused` before its training began.
        message: what is to be said of it, where it is not whole.
        settings: its configuration, flat: dotted key to value.
        results: the contents of results.json; empty where it is not finished.
        values: of single test examples, by `way.key`, (N,) each.
        curves: logged values by name, as (epochs, values).
        root: the folder that the report is about.
    """

    path: Path
    state: State
    message: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    curves: Mapping[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    root: Path | None = None

    @property
    def name(self) -> str:
        """Its path, from the root on."""
        return str(self.path) if self.root in (None, self.path) else str(self.path.relative_to(self.root))

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """What its numbers are to be read with: (quantity or estimator, warning)."""
        failed = [(name, f"failed: {why}") for name, why in self.results.get("failed_estimators", {}).items()]
        warned = [(row["quantity"], str(row["warning"])) for row in self.results["estimates"] if row.get("warning")]
        return list(dict.fromkeys(failed + warned))  # several evaluations may say the same

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
    def overrides(self) -> list[str]:
        """What it was begun with."""
        return read_overrides(self.path) or []

    @property
    def experiment(self) -> str | None:
        """The preset that it was begun with."""
        chosen = [each.partition("=")[2] for each in self.overrides if each.startswith("+experiment=")]
        return chosen[0] if chosen else None

    @property
    def published(self) -> "Published | None":
        """The numbers that its preset is to reach."""
        told = self.results.get("published")
        return Published(told["values"], told["source"], told["kind"]) if told else None

    @property
    def told(self) -> str:
        """What it was begun with, and what is to be said of it."""
        begun = ", ".join(each for each in self.overrides if not each.startswith("trainer.resume="))
        return f"{begun}: {self.message}" if begun else self.message

    def pictures(self, name: str) -> list[Path]:
        """The picture files of this name, the last one last; those that were cut short at once are none."""
        return [file for file in sorted((self.path / name).glob("*.png")) if file.is_file() and file.stat().st_size]


def collect(folder: Path) -> list[Run]:
    """All runs in a folder and below it, in the order of their paths; none is fatal."""
    closed: list[OSError] = []
    paths = [Path(at) for at, folders, files in os.walk(folder, onerror=closed.append) if _is_run(at, folders, files)]
    runs = [_whole(path) for path in sorted(paths, key=_in_order)]
    runs += [Run(Path(error.filename), "damaged", f"it cannot be read: {error.strerror}") for error in closed]
    return [replace(run, root=folder) for run in runs]


def _is_run(at: str, folders: Sequence[str], files: Sequence[str]) -> bool:
    return "results.json" in files or (".hydra" in folders and Path(at, ".hydra", "config.yaml").exists())


def _whole(path: Path) -> Run:
    """A run; whatever is wrong with its files costs it alone."""
    try:
        return _read(path)
    except Exception as error:  # files can be damaged in more ways than can be listed
        return Run(path, "damaged", f"it cannot be read: {type(error).__name__}: {_line(error)}")


def _in_order(path: Path) -> list[tuple[bool, int, str]]:
    """10 after 9."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in path.parts]


def _read(path: Path) -> Run:
    try:
        config = yaml.safe_load((path / ".hydra" / "config.yaml").read_text())
        settings = dict(flat(config)) if isinstance(config, dict) else None
        if settings is None or "model" not in config:
            return Run(path, "damaged", ".hydra/config.yaml is no configuration of a run")
        json.dumps(settings, default=str)  # a ValueError where a value holds itself
    except FileNotFoundError:
        return Run(path, "damaged", "there is no .hydra/config.yaml beside its results.json")
    except (OSError, ValueError, yaml.YAMLError) as error:
        return Run(path, "damaged", f".hydra/config.yaml cannot be read: {_line(error)}")
    curves = _curves(path)
    try:
        results = json.loads((path / "results.json").read_text())
        if not isinstance(results, dict) or not isinstance(results.get("estimates"), list):
            raise ValueError("no list of estimates")
    except FileNotFoundError:
        return Run(path, *_without_results(path), settings, curves=curves)
    except (OSError, ValueError) as error:
        return Run(path, "damaged", f"results.json cannot be read: {_line(error)}", settings, curves=curves)
    results, skipped = _clean(results)
    if skipped and not results["estimates"]:
        return Run(path, "damaged", "results.json cannot be read: no estimate in it is whole", settings, curves=curves)
    values, lost = _values(path)
    messages = [f"{skipped} of its estimates cannot be read, and are left out"] if skipped else []
    return Run(path, "finished", "; ".join([*messages, *lost]), settings, results, values, curves)


def _without_results(path: Path) -> tuple[State, str]:
    if is_run_folder_locked(path):
        return "running", "it is at work"
    error = path / "error.txt"
    if error.exists():
        has_begun = (path / "metrics.jsonl").exists()
        return "failed" if has_begun else "refused", error.read_text(errors="replace").strip()
    if (path / "checkpoints" / "last").is_dir() or (path / "checkpoints" / "previous_last").is_dir():
        return "unfinished", f"to go on: {resume_run(path)}"
    return "unfinished", "it ended before its first checkpoint"


def _clean(results: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The same with what the report needs of the kind that it needs, and how many estimates are not whole."""
    training = _dict_of(results, "training")
    numbers = {name: _number(training.get(name)) for name in ("epochs", "seconds", "examples_per_second")}
    words = {name: str(training.get(name) or "") for name in ("stopped_by", "monitor")}
    of_dicts = {name: _dict_of(results, name) for name in ("environment", "failed_estimators")}
    of_text = {name: str(results.get(name) or "") for name in ("dataset", "preprocessing", "model", "seed")}
    whole = [row for row in results["estimates"] if _is_estimate(row)]
    cleaned = {"training": numbers | words, "parameters": _number(results.get("parameters"))}
    cleaned["published"] = _published(results.get("published"))
    return results | cleaned | of_dicts | of_text | {"estimates": whole}, len(results["estimates"]) - len(whole)


def _dict_of(results: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = results.get(name)
    return found if isinstance(found, dict) else {}


def _published(told: Any) -> dict[str, Any] | None:
    if not isinstance(told, dict) or not isinstance(told.get("values"), dict):
        return None
    values = {str(quantity): float(value) for quantity, value in told["values"].items() if _fits(value)}
    return {"values": values, "source": str(told.get("source", "")), "kind": str(told.get("kind", ""))}


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) and math.isfinite(value) else 0


def _is_estimate(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and all(isinstance(row.get(name), str) for name in ("quantity", "estimator", "kind", "split"))
        and _fits(row.get("value"))
        and all(row.get(name) is None or _fits(row[name]) for name in ("stderr", "train_reference"))
        and all(row.get(name) is None or _is_pair(row[name]) for name in ("interval", "computing_interval"))
        and (row.get("limits") is None or _are_limits(row["limits"]))
        and isinstance(row.get("settings"), dict)
        and isinstance(row.get("num_examples"), int)
    )


def _fits(value: Any) -> bool:
    """Whether it is a number that a float can hold, or not a number at all as floats know it."""
    try:
        return isinstance(value, int | float) and isinstance(float(value), float)
    except OverflowError:
        return False


def _is_pair(value: Any) -> bool:
    """Whether it is an interval, of which no end is NaN: its margin would be zero."""
    return isinstance(value, list) and len(value) == 2 and all(_fits(end) and not math.isnan(end) for end in value)


def _are_limits(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(each is None or _fits(each) for each in value)


def flat(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested dicts by their dotted keys."""
    if isinstance(node, dict) and node:
        for name, value in node.items():
            yield from flat(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, node


def _values(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Those that are rows of finite numbers, and what is to be said where some cannot be read."""
    if not (path / "values.npz").exists():
        return {}, []
    try:
        with np.load(path / "values.npz", allow_pickle=False) as found:
            arrays = dict(found)
        rows = {name: each for name, each in arrays.items() if each.ndim == 1 and len(each) and each.dtype.kind == "f"}
        return rows, [] if len(rows) == len(arrays) else ["some of values.npz are no numbers of single examples"]
    except Exception as error:  # of zlib, zipfile, tokenize, ... by where it is damaged
        return {}, [f"values.npz cannot be read, so that nothing is paired with it: {type(error).__name__}"]


def _curves(path: Path) -> dict[str, tuple[list[float], list[float]]]:
    found: dict[str, tuple[list[float], list[float]]] = {}
    try:
        lines = (path / "metrics.jsonl").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            row = json.loads(line)
            name, epoch, value = str(row["name"]), float(row["epoch"]), float(row["value"])
        except (ValueError, KeyError, TypeError):
            continue  # cut short
        if math.isfinite(epoch) and math.isfinite(value):
            epochs, values = found.setdefault(name, ([], []))
            epochs.append(epoch)
            values.append(value)
    return found


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
