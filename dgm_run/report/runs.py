"""Reads the runs in a folder: finished, failed, refused, unfinished, running, or damaged."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import yaml

from dgm_run.config.choices import read_choices
from dgm_run.config.commands import resume_run
from dgm_run.config.leaves import iterate_leaves
from dgm_run.config.published import KINDS
from dgm_run.config.start import read_overrides
from dgm_run.recording.estimate_id import is_data_identity
from dgm_run.recording.numbers import are_limits, is_number, is_pair
from dgm_run.runner.run_lock import is_run_folder_locked

State = Literal["finished", "failed", "refused", "unfinished", "running", "damaged", "repeated"]


class PublishedNumbers(NamedTuple):
    """Published numbers that a preset should reach.

    Attributes:
        values: numbers by quantity.
        source: title and table of the source.
        kind: origin of the numbers, one of `published.KINDS`; empty where the run does not state it.
        stderr: standard errors that the source states, by quantity.
        note: why a run differs from the numbers, or empty.
    """

    values: Mapping[str, float]
    source: str
    kind: str
    stderr: Mapping[str, float]
    note: str

    @property
    def where(self) -> str:
        """Origin and source of the numbers."""
        return f"{KINDS[self.kind]}: {self.source}" if self.kind in KINDS else self.source


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        path: path of the folder.
        state: state of the run; a `refused` run failed before its training.
        message: failure or defect of the run; empty for none.
        settings: flat configuration: dotted key to value.
        results: contents of results.json; empty for a run that is not finished.
        values: values of single test examples by `estimate_id.values_key`, (N,) each.
        curves: logged values by name, as (epochs, values).
        root: folder of the report.
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
        """Path of the run relative to the root."""
        return str(self.path) if self.root in (None, self.path) else str(self.path.relative_to(self.root))

    @property
    def own_estimates(self) -> list[Mapping[str, Any]]:
        """Estimates on the data of the run, without those on other data."""
        return [row for row in self.results["estimates"] if not row.get("dataset")]

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """Warnings of the run: (quantity or estimator, warning)."""
        failed = [(name, f"failed: {reason}") for name, reason in self.results.get("failed_estimators", {}).items()]
        row_warnings = [
            (_name_topic(row), line)
            for row in self.results["estimates"]
            for line in str(row.get("warning") or "").splitlines()
        ]
        return list(dict.fromkeys(failed + row_warnings))  # several evaluations may have the same warning

    @property
    def is_collapsed(self) -> bool:
        """True where a warning states that the model has collapsed."""
        return any("collapsed" in str(row.get("warning")) for row in self.own_estimates)

    @property
    def version(self) -> str:
        """Version of the code that computed the numbers."""
        environment = self.results.get("environment") or {}
        names = ("dgm_run", "torch", "commit")
        return ", ".join(f"{name} {environment[name]}" for name in names if environment.get(name)) or "unknown"

    @property
    def overrides(self) -> list[str]:
        """Overrides of the run."""
        return read_overrides(self.path) or []

    @cached_property
    def choices(self) -> dict[str, str]:
        """Names of the chosen parts by their keys, as in {"prior": "vampprior"}."""
        return read_choices(self.path, self.settings)

    @property
    def experiment(self) -> str | None:
        """Preset of the run; None without one."""
        chosen = [each.partition("=")[2] for each in self.overrides if each.startswith("+experiment=")]
        return chosen[0] if chosen else None

    @property
    def published_numbers(self) -> PublishedNumbers | None:
        """Published numbers that the preset should reach; None where it names none."""
        row = self.results.get("published")
        return PublishedNumbers(**row) if row else None

    @property
    def description(self) -> str:
        """Overrides of the run and its message."""
        overrides = ", ".join(each for each in self.overrides if not each.startswith("trainer.resume="))
        return f"{overrides}: {self.message}" if overrides else self.message

    def pictures(self, name: str) -> list[Path]:
        """Lists the picture files of this name, the latest last, without empty files."""
        return [file for file in sorted((self.path / name).glob("*.png")) if file.is_file() and file.stat().st_size]


EXPORTED = "export"
"""Folder in that of a run which `dgm_run.export` writes."""


def _name_topic(row: Mapping[str, Any]) -> str:
    """Returns the quantity of an estimate, and the name of data other than the run's."""
    return f"{row['quantity']} on {row['dataset']['name']}" if row.get("dataset") else row["quantity"]


def collect_runs(folder: Path) -> list[Run]:
    """Reads all runs in a folder and below it, in the order of their paths; a damaged run raises no error.

    The exported copies in the folder of a run are no runs of their own.
    """
    errors: list[OSError] = []
    paths: list[Path] = []
    for at, folders, files in os.walk(folder, onerror=errors.append):
        if _is_run(at, folders, files):
            paths.append(Path(at))
            folders[:] = [name for name in folders if name != EXPORTED]
    runs = [_read_safely(path) for path in sorted(paths, key=_sort_key)]
    runs += [Run(Path(error.filename), "damaged", f"it cannot be read: {error.strerror}") for error in errors]
    return [replace(run, root=folder) for run in runs]


def _is_run(at: str, folders: Sequence[str], files: Sequence[str]) -> bool:
    return "results.json" in files or (".hydra" in folders and Path(at, ".hydra", "config.yaml").exists())


def _read_safely(path: Path) -> Run:
    """Reads a run; an error in its files makes it a damaged run."""
    try:
        return _read(path)
    except Exception as error:  # files can be damaged in more ways than can be listed
        return Run(path, "damaged", f"it cannot be read: {type(error).__name__}: {_first_line(error)}")


def _sort_key(path: Path) -> list[tuple[bool, int, str]]:
    """Returns a key that sorts numbers by value: 10 after 9."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in path.parts]


def _read(path: Path) -> Run:
    try:
        config = yaml.safe_load((path / ".hydra" / "config.yaml").read_text())
        settings = dict(iterate_leaves(config)) if isinstance(config, dict) else None
        if settings is None or "model" not in config:
            return Run(path, "damaged", ".hydra/config.yaml is no configuration of a run")
        json.dumps(settings, default=str)  # a ValueError where a value holds itself
    except FileNotFoundError:
        return Run(path, "damaged", "there is no .hydra/config.yaml beside its results.json")
    except (OSError, ValueError, yaml.YAMLError) as error:
        return Run(path, "damaged", f".hydra/config.yaml cannot be read: {_first_line(error)}")
    curves = _read_curves(path)
    try:
        results = json.loads((path / "results.json").read_text())
        if not isinstance(results, dict) or not isinstance(results.get("estimates"), list):
            raise ValueError("no list of estimates")
    except FileNotFoundError:
        return Run(path, *_find_state(path), settings, curves=curves)
    except (OSError, ValueError) as error:
        return Run(path, "damaged", f"results.json cannot be read: {_first_line(error)}", settings, curves=curves)
    results, skipped = _clean(results)
    if skipped and not results["estimates"]:
        return Run(path, "damaged", "results.json cannot be read: no estimate in it is whole", settings, curves=curves)
    values, lost = _read_values(path)
    messages = [f"{skipped} of its estimates cannot be read, and are left out"] if skipped else []
    return Run(path, "finished", "; ".join([*messages, *lost]), settings, results, values, curves)


def _find_state(path: Path) -> tuple[State, str]:
    """Returns the state of a run without results, and a message."""
    if is_run_folder_locked(path):
        return "running", "it is running"
    error = path / "error.txt"
    if error.exists():
        has_begun = (path / "metrics.jsonl").exists()
        return "failed" if has_begun else "refused", error.read_text(errors="replace").strip()
    if (path / "checkpoints" / "last").is_dir() or (path / "checkpoints" / "previous_last").is_dir():
        return "unfinished", f"to resume: {resume_run(path)}"
    return "unfinished", "it ended before its first checkpoint"


def _clean(results: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Replaces fields of a wrong type, and drops broken estimates; returns the results and the number of these."""
    training = _read_dict(results, "training")
    numbers = {name: _clean_number(training.get(name)) for name in ("epochs", "seconds", "examples_per_second")}
    words = {name: str(training.get(name) or "") for name in ("stopped_by", "monitor")}
    dicts = {name: _read_dict(results, name) for name in ("environment", "failed_estimators")}
    names = ("dataset", "preprocessing", "model", "seed")
    texts = {name: "" if results.get(name) is None else str(results[name]) for name in names}
    whole = [row for row in results["estimates"] if _is_whole(row)]
    cleaned = {"training": numbers | words, "parameters": _clean_number(results.get("parameters"))}
    cleaned["published"] = _clean_published(results.get("published"))
    return results | cleaned | dicts | texts | {"estimates": whole}, len(results["estimates"]) - len(whole)


def _read_dict(results: Mapping[str, Any], name: str) -> dict[str, Any]:
    node = results.get(name)
    return node if isinstance(node, dict) else {}


def _clean_published(row: Any) -> dict[str, Any] | None:
    if not isinstance(row, dict) or not isinstance(row.get("values"), dict):
        return None
    texts = {name: str(row.get(name) or "") for name in ("source", "kind", "note")}
    return {"values": _read_numbers(row, "values"), "stderr": _read_numbers(row, "stderr"), **texts}


def _read_numbers(row: Mapping[str, Any], name: str) -> dict[str, float]:
    return {str(key): float(value) for key, value in _read_dict(row, name).items() if is_number(value)}


def _clean_number(value: Any) -> float:
    return value if isinstance(value, int | float) and math.isfinite(value) else 0


def _is_whole(row: Any) -> bool:
    """Returns whether an estimate has all fields that the report needs, of the right types."""
    return (
        isinstance(row, dict)
        and all(isinstance(row.get(name), str) for name in ("quantity", "estimator", "kind", "split"))
        and is_number(row.get("value"))
        and all(row.get(name) is None or is_number(row[name]) for name in ("stderr", "train_reference"))
        and all(row.get(name) is None or _is_interval(row[name]) for name in ("interval", "computing_interval"))
        and (row.get("limits") is None or are_limits(row["limits"]))
        and isinstance(row.get("settings"), dict)
        and is_data_identity(row.get("dataset"))
        and isinstance(row.get("num_examples"), int)
    )


def _is_interval(value: Any) -> bool:
    """Returns whether a value is an interval without a NaN, which would make its margin zero."""
    return is_pair(value) and not any(map(math.isnan, value))


def _read_values(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Reads the values of single examples, and returns messages about those that cannot be read."""
    if not (path / "values.npz").exists():
        return {}, []
    try:
        with np.load(path / "values.npz", allow_pickle=False) as file:
            arrays = dict(file)
        rows = {name: each for name, each in arrays.items() if each.ndim == 1 and len(each) and each.dtype.kind == "f"}
        return rows, [] if len(rows) == len(arrays) else ["some of values.npz are no numbers of single examples"]
    except Exception as error:  # from zlib, zipfile, tokenize, ..., depending on the damage
        return {}, [f"values.npz cannot be read, so that nothing is paired with it: {type(error).__name__}"]


def _read_curves(path: Path) -> dict[str, tuple[list[float], list[float]]]:
    curves: dict[str, tuple[list[float], list[float]]] = {}
    try:
        lines = (path / "metrics.jsonl").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            row = json.loads(line)
            name = str(row["name"])
            epoch = float(row["epoch"])
            value = float(row["value"])
        except (ValueError, KeyError, TypeError):
            continue  # cut short
        if math.isfinite(epoch) and math.isfinite(value):
            epochs, values = curves.setdefault(name, ([], []))
            epochs.append(epoch)
            values.append(value)
    return curves


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
