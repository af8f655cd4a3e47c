"""Runs that differ by their seeds alone, and what the others differ by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dgm_run.report.runs import Run

OF_NO_INTEREST = (
    *("data_dir", "published", "estimators", "trainer.resume", "trainer.device", "trainer.threads"),
    *("trainer.devices", "trainer.hang_seconds", "trainer.give_up_after"),
    *("trainer.checkpoint_seconds", "trainer.pictures_every", "trainer.eval_batch_size"),
)
"""What changes no number, or is one itself."""


@dataclass(frozen=True)
class Group:
    """Runs of one configuration under several seeds.

    Attributes:
        settings: what it differs by from others, by short names.
        runs: its runs.
    """

    settings: Mapping[str, Any]
    runs: Sequence[Run]

    @property
    def name(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self.settings.items()) or "all"


def is_seed(key: str) -> bool:
    return key.rpartition(".")[2] == "seed" or key.endswith("_seed")


def groups(runs: Sequence[Run]) -> list[Group]:
    """Runs by what they differ by, but for seeds, in the order in which they come."""
    keys = differing(runs)
    found: dict[tuple, list[Run]] = {}
    for run in runs:
        found.setdefault(tuple(str(run.settings.get(key)) for key in keys), []).append(run)
    return [Group(_settings(keys, members[0]), members) for members in found.values()]


def differing(runs: Sequence[Run]) -> list[str]:
    """The keys by which runs differ, without those that only follow from another choice."""
    keys = list(dict.fromkeys(key for run in runs for key in run.settings))
    kept = []
    for key in keys:
        if is_seed(key) or key.startswith(("estimators.", "hydra.")) or key in OF_NO_INTEREST:
            continue
        targets: dict[tuple, set[str]] = {}
        for run in runs:
            choice = tuple(str(run.settings.get(f"{above}._target_")) for above in _above(key))
            targets.setdefault(choice, set()).add(str(run.settings.get(key)))
        if any(len(values) > 1 for values in targets.values()):
            kept.append(key)
    return kept


def _above(key: str) -> list[str]:
    """The nodes that a key stands in, but for the one whose target it names."""
    parts = key.removesuffix("._target_").split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def _settings(keys: Sequence[str], run: Run) -> dict[str, Any]:
    found = {}
    for key in keys:
        value = run.settings.get(key)
        if key.endswith("._target_"):
            found[key.removesuffix("._target_")] = str(value).rpartition(".")[2] if value else "none"
        elif key in run.settings:
            found[key] = value
    return found
