"""Groups of runs that differ by their seeds alone, and the settings by which groups differ."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dgm_run.config.choices import TARGET
from dgm_run.config.leaves import format_leaf
from dgm_run.config.schema import MACHINE_KEYS
from dgm_run.report.runs import Run

NEUTRAL_KEYS = (
    *("hydra", "published", "estimators"),
    *("trainer.checkpoint_seconds", "trainer.image_every_epochs", "trainer.eval_batch_size"),
    *("trainer.median_stopping_after", *MACHINE_KEYS),
)
"""Keys that change no number of a model."""

MODEL = "model._target_"
DATA = "dataset.name"
"""Keys of the two choices from which other settings follow."""

COLUMNS = "dataset.columns"
"""Key of the columns of a table, which are counted and not listed."""


@dataclass(frozen=True)
class Group:
    """Runs of one configuration under several seeds.

    Attributes:
        settings: settings by which the group differs from others, by short names.
        runs: runs with results.
        lost: runs of the same configuration without results.
        implied: differing settings that follow from the choice of the model or of the data in all groups.
    """

    settings: Mapping[str, Any]
    runs: Sequence[Run]
    lost: Sequence[Run]
    implied: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Settings of the group as text; `all` for the only group."""
        return describe_settings(self.settings) or "all"


def describe_settings(settings: Mapping[str, Any]) -> str:
    """Writes settings as overrides in a line."""
    return ", ".join(f"{key}={format_leaf(value)}" for key, value in settings.items())


def find_varying_settings(groups: Sequence[Group]) -> list[str]:
    """Returns the settings by which these groups differ."""
    names = dict.fromkeys(name for group in groups for name in group.settings)
    return [name for name in names if len({str(group.settings.get(name)) for group in groups}) > 1]


def name_groups(groups: Sequence[Group]) -> list[str]:
    """Returns names of groups from the settings by which they differ; the whole name where that is nothing."""
    names = find_varying_settings(groups)
    return [
        describe_settings({name: group.settings[name] for name in names if name in group.settings}) or group.name
        for group in groups
    ]


def is_seed(key: str) -> bool:
    """Returns whether a key is a seed of the run, of its data or of a part."""
    return key.rpartition(".")[2] == "seed" or key.endswith("_seed")


def list_seeds(run: Run) -> tuple:
    """Returns all seeds of a run with their keys, in one order for all runs."""
    return tuple(sorted((key, str(normalize(value))) for key, value in run.settings.items() if is_seed(key)))


def normalize(value: Any) -> Any:
    """Returns a setting in a form that compares equal for 1 and 1.0."""
    if isinstance(value, list):
        return tuple(map(normalize, value))
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def split_repeated(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Returns the runs, and apart those that repeat the configuration and seeds of a newer run."""
    by_settings: dict[tuple, list[Run]] = {}
    for run in runs:
        settings = {key: _read(run, key) for key in run.settings if _is_relevant(key)}
        identity = tuple(sorted((key, str(value)) for key, value in settings.items() if value is not None))
        by_settings.setdefault(identity, []).append(run)
    kept = []
    repeated = []
    for same in by_settings.values():
        newest = max(same, key=lambda run: (run.path / "results.json").stat().st_mtime)
        kept.append(newest)
        message = f"the same configuration and seeds as {newest.name}, which is newer"
        repeated += [replace(run, state="repeated", message=message) for run in same if run is not newest]
    return [run for run in runs if run in kept], repeated


def group_runs(runs: Sequence[Run], others: Sequence[Run] = ()) -> list[Group]:
    """Groups runs that differ by their seeds alone, in the order of their first runs.

    Args:
        runs: runs with results.
        others: runs without results, each of which joins the group of its configuration.
    """
    runs_without_results = [run for run in others if run.settings]
    all_keys = find_differing_keys([*runs, *runs_without_results])
    groups = _group_by_settings(runs, all_keys)
    lost = _group_by_settings(runs_without_results, all_keys)
    # a key by which only runs without results differ does not distinguish groups
    keys = [key for i, key in enumerate(all_keys) if len({values[i] for values in groups}) > 1]
    implied = _find_implied_keys([_read_all(members[0], keys) for members in groups.values()], keys)
    own = [key for key in keys if key not in implied]
    return [
        Group(_shorten_settings(own, members[0]), members, lost.get(values, ()), _shorten_settings(implied, members[0]))
        for values, members in groups.items()
    ]


def _group_by_settings(runs: Sequence[Run], keys: Sequence[str]) -> dict[tuple[str, ...], list[Run]]:
    """Groups runs by their values of the keys."""
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(_read_all(run, keys), []).append(run)
    return groups


def _read_all(run: Run, keys: Sequence[str]) -> tuple[str, ...]:
    """Returns the values of several settings as text."""
    return tuple(str(_read(run, key)) for key in keys)


def _read(run: Run, key: str) -> Any:
    """Returns a setting for comparison; a missing one, as in a run of older code, equals one that is off."""
    value = normalize(run.settings.get(key))
    return None if value is False else value


def _find_implied_keys(values: Sequence[tuple], keys: Sequence[str]) -> list[str]:
    """Returns the keys that follow from the model or the data, given the values of all keys in each group."""
    by_model = _find_following(MODEL, [key for key in keys if key != DATA], values, keys)
    by_data = _find_following(DATA, [key for key in keys if key.startswith("dataset.")], values, keys)
    return [key for key in keys if key in by_model or key in by_data]


def _find_following(chosen: str, candidates: Sequence[str], values: Sequence[tuple], keys: Sequence[str]) -> set[str]:
    """Returns the candidates that have one value for each value of the chosen key."""
    if chosen not in keys:
        return set()
    column = {key: i for i, key in enumerate(keys)}
    num_choices = len({each[column[chosen]] for each in values})
    return {
        key
        for key in candidates
        if key != chosen and len({(each[column[chosen]], each[column[key]]) for each in values}) == num_choices
    }


def find_differing_keys(runs: Sequence[Run]) -> list[str]:
    """Returns the keys by which runs differ, without those that only follow from another choice."""
    keys = sorted(dict.fromkeys(key for run in runs for key in run.settings), key=_rank_part)
    kept: list[str] = []
    for key in keys:
        if is_seed(key) or not _is_relevant(key) or f"{key}._target_" in keys:  # null in the place of a part
            continue
        targets: dict[tuple, set[str]] = {}
        for run in runs:
            choice = tuple(str(run.settings.get(f"{above}._target_")) for above in _list_parents(key))
            targets.setdefault(choice, set()).add(str(_read(run, key)))
        is_different = any(len(values) > 1 for values in targets.values())
        if is_different and not any(_is_copy(key, other, runs) for other in kept):
            kept.append(key)
    return kept


def _is_relevant(key: str) -> bool:
    """Returns whether a key may change a number of a model."""
    return not any(key == each or key.startswith(f"{each}.") for each in NEUTRAL_KEYS)


def _rank_part(key: str) -> int:
    """Ranks the model and the data first, so that copies of their settings in other parts are left out."""
    if key.startswith("model."):
        return 0
    return 1 if key.startswith("dataset.") else 2


def _is_copy(key: str, other: str, runs: Sequence[Run]) -> bool:
    """Returns whether a key has the last name of another key and its value in all runs, like sizes and shapes."""
    if key.rpartition(".")[2] != other.rpartition(".")[2] or key.endswith("_target_"):
        return False
    settings_with_key = [run.settings for run in runs if key in run.settings]
    return all(
        other in settings and normalize(settings[key]) == normalize(settings[other]) for settings in settings_with_key
    )


def _list_parents(key: str) -> list[str]:
    """Returns the nodes above a key, without the node whose target it names."""
    parts = key.removesuffix("._target_").split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def _shorten_settings(keys: Sequence[str], run: Run) -> dict[str, Any]:
    """Returns the settings of a run by their keys; a part has the name of its choice, or of its class without one."""
    settings: dict[str, Any] = {}
    for key in keys:
        value = run.settings.get(key)
        if key.endswith(TARGET):
            part = key.removesuffix(TARGET)
            class_name = str(value).rpartition(".")[2] if value else "none"
            settings[part] = run.choices.get(part, class_name)
        elif key == COLUMNS and value:
            settings[key] = _count_kinds(value)
        elif key in run.settings:
            settings[key] = value
    return settings


def _count_kinds(columns: Sequence[Mapping[str, Any]]) -> str:
    """Counts the columns of a table by their kind, as in `30 real + 1 binary`."""
    return " + ".join(f"{num} {kind}" for kind, num in Counter(each["kind"] for each in columns).items())
