"""Runs that differ by their seeds alone, and what the others differ by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dgm_run.config.compose import MACHINE_KEYS
from dgm_run.report.runs import Run

OF_NO_INTEREST = (
    *(
        "hydra",
        "published",
        "estimators",
        "trainer.checkpoint_seconds",
        "trainer.image_every_epochs",
        "trainer.eval_batch_size",
    ),
    *("trainer.median_stopping_after", *MACHINE_KEYS),
)
"""What changes no number, or is one itself."""

MODEL = "model._target_"
DATA = "dataset.name"


@dataclass(frozen=True)
class Group:
    """Runs of one configuration under several seeds.

    Attributes:
        settings: what it differs by from others, by short names.
        runs: its runs.
        lost: others like them that have no results.
        brought: by what it differs as well, and that is the same in all groups of its model, or of its data: these
            bring it along.
    """

    settings: Mapping[str, Any]
    runs: Sequence[Run]
    lost: Sequence[Run]
    brought: Mapping[str, Any]

    @property
    def name(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self.settings.items()) or "all"


def is_seed(key: str) -> bool:
    return key.rpartition(".")[2] == "seed" or key.endswith("_seed")


def seeds(run: Run) -> tuple:
    """All its seeds, in an order that is the same for all runs."""
    return tuple(sorted((key, str(plain(value))) for key, value in run.settings.items() if is_seed(key)))


def plain(value: Any) -> Any:
    """A setting as it is compared: 1 and 1.0 are the same."""
    if isinstance(value, list):
        return tuple(map(plain, value))
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def distinct(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The runs, and those of them that only repeat another one, configuration, seeds and all; the newest is kept."""
    found: dict[tuple, list[Run]] = {}
    for run in runs:
        told = {key: value for key in run.settings if _is_of_interest(key) and (value := _told(run, key)) is not None}
        found.setdefault(tuple(sorted((key, str(value)) for key, value in told.items())), []).append(run)
    kept, repeated = [], []
    for same in found.values():
        newest = max(same, key=lambda run: (run.path / "results.json").stat().st_mtime)
        kept.append(newest)
        message = f"the same configuration and seeds as {newest.name}, which is newer"
        repeated += [replace(run, state="repeated", message=message) for run in same if run is not newest]
    return [run for run in runs if run in kept], repeated


def groups(runs: Sequence[Run], others: Sequence[Run] = ()) -> list[Group]:
    """Runs by what they differ by, but for seeds, in the order in which they come.

    Args:
        runs: with results.
        others: without, which belong to a group if they differ from its runs by nothing.
    """
    like = [run for run in others if run.settings]
    keys = differing([*runs, *like])
    found: dict[tuple, list[Run]] = {}
    for run in runs:
        found.setdefault(_values(run, keys), []).append(run)
    lost: dict[tuple, list[Run]] = {}
    for run in like:
        lost.setdefault(_values(run, keys), []).append(run)
    keys = [key for i, key in enumerate(keys) if len({values[i] for values in found}) > 1]  # by which results differ
    brought = _brought([_values(of[0], keys) for of in found.values()], keys)
    own = [key for key in keys if key not in brought]
    return [
        Group(_settings(own, of[0]), of, lost.get(values, ()), _settings(brought, of[0]))
        for values, of in found.items()
    ]


def _values(run: Run, keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(_told(run, key)) for key in keys)


def _told(run: Run, key: str) -> Any:
    """A setting as it is compared; one that there is none of, as in a run of older code, is as one that is off."""
    value = plain(run.settings.get(key))
    return None if value is False else value


def _brought(values: Sequence[tuple], keys: Sequence[str]) -> list[str]:
    """Keys that have one value wherever the model is one, of groups with these values of all keys; or the data are."""
    by_model = _following(MODEL, [key for key in keys if key != DATA], values, keys)
    by_data = _following(DATA, [key for key in keys if key.startswith("dataset.")], values, keys)
    return [key for key in keys if key in by_model or key in by_data]


def _following(chosen: str, candidates: Sequence[str], values: Sequence[tuple], keys: Sequence[str]) -> set[str]:
    """The candidates that have one value wherever the chosen key has one."""
    if chosen not in keys:
        return set()
    place = {key: i for i, key in enumerate(keys)}
    choices = len({each[place[chosen]] for each in values})
    return {
        key
        for key in candidates
        if key != chosen and len({(each[place[chosen]], each[place[key]]) for each in values}) == choices
    }


def differing(runs: Sequence[Run]) -> list[str]:
    """The keys by which runs differ, without those that only follow from another choice."""
    keys = sorted(dict.fromkeys(key for run in runs for key in run.settings), key=_place)
    kept: list[str] = []
    for key in keys:
        if is_seed(key) or not _is_of_interest(key) or f"{key}._target_" in keys:  # null in the place of a part
            continue
        targets: dict[tuple, set[str]] = {}
        for run in runs:
            choice = tuple(str(run.settings.get(f"{above}._target_")) for above in _above(key))
            targets.setdefault(choice, set()).add(str(_told(run, key)))
        differs = any(len(values) > 1 for values in targets.values())
        if differs and not any(_follows(key, other, runs) for other in kept):
            kept.append(key)
    return kept


def _is_of_interest(key: str) -> bool:
    return not any(key == each or key.startswith(f"{each}.") for each in OF_NO_INTEREST)


def _place(key: str) -> int:
    """The model and the data first: what other parts repeat of them is left out."""
    return 0 if key.startswith("model.") else 1 if key.startswith("dataset.") else 2


def _follows(key: str, other: str, runs: Sequence[Run]) -> bool:
    """Whether a key has the name of another one in a part, and its value in all runs, as sizes and shapes do."""
    if key.rpartition(".")[2] != other.rpartition(".")[2] or key.endswith("_target_"):
        return False
    having = [run.settings for run in runs if key in run.settings]
    return all(other in settings and plain(settings[key]) == plain(settings[other]) for settings in having)


def _above(key: str) -> list[str]:
    """The nodes that a key stands in, but for the one whose target it names."""
    parts = key.removesuffix("._target_").split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def _settings(keys: Sequence[str], run: Run) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in keys:
        value = run.settings.get(key)
        if key.endswith("._target_"):
            found[key.removesuffix("._target_")] = str(value).rpartition(".")[2] if value else "none"
        elif key in run.settings:
            found[key] = value
    return found
