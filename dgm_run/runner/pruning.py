"""Pruning: Optuna ends a trial of a search from inside its run."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dgm_run.config.compose import instantiate

TRIAL_FILE = "trial.json"
"""File in the folder of a run that names its trial and the pruner."""


class TrialPruning:
    """Stopping rule of a trial, by a pruner of Optuna.

    The trial reports its best validation value so far, because that is the value of a finished trial.

    Args:
        folder: folder of the run, in the folder of the sweep.
        trial: contents of trial.json: storage, study_name, number, and pruner.
    """

    def __init__(self, folder: Path, trial: Mapping[str, Any]):
        from optuna import load_study  # only a search needs Optuna

        from dgm_run.runner.search_storage import open_storage

        self.storage = open_storage(_resolve(trial["storage"]), folder.parent)
        self.study = load_study(study_name=trial["study_name"], storage=self.storage)
        self.pruner = instantiate(trial["pruner"])
        study_id = self.storage.get_study_id_from_name(trial["study_name"])
        self.trial_id = self.storage.get_trial_id_from_study_id_trial_number(study_id, trial["number"])

    def should_stop(self, name: str, epoch: int, best: float) -> bool:
        """Reports the best value of `name` up to `epoch`, and returns whether the pruner ends the trial."""
        if self.storage.get_trial(self.trial_id).state.is_finished():
            return False  # the run goes on after its search
        self.storage.set_trial_intermediate_value(self.trial_id, epoch, best)
        return bool(self.pruner.prune(self.study, self.storage.get_trial(self.trial_id)))  # it may be of NumPy


def write_trial(folder: Path, storage: str, study_name: str, number: int, pruner: Mapping[str, Any]) -> None:
    """Writes trial.json into the folder of a run, from which `open_pruning` finds its trial."""
    folder.mkdir(parents=True, exist_ok=True)
    trial = {"storage": storage, "study_name": study_name, "number": number, "pruner": dict(pruner)}
    (folder / TRIAL_FILE).write_text(json.dumps(trial, indent=2))


def open_pruning(folder: Path) -> TrialPruning | None:
    """Returns the stopping rule of a run that its search has started; None without a pruner, or if the search is gone.

    Only a search may call it for its runs: it writes trial.json anew, which names code to build.
    """
    if not (folder / TRIAL_FILE).exists() or find_spec("optuna") is None:
        return None
    from dgm_run.runner.search_storage import is_storage_lost

    trial = json.loads((folder / TRIAL_FILE).read_text())
    return None if is_storage_lost(trial["storage"], folder.parent) else TrialPruning(folder, trial)


def _resolve(storage: str) -> str:
    """Returns the name of a storage with the environment variables that it refers to."""
    return instantiate({"storage": storage})["storage"]
