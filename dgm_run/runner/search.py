"""A search: its trials, which several workers take from one storage and return to it."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import optuna
from filelock import FileLock
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from dgm_run.errors import ConfigError
from dgm_run.recording.search_record import SEARCH_FILE, is_worker_alive, worker_file
from dgm_run.runner import results
from dgm_run.runner.run_lock import is_run_folder_locked
from dgm_run.runner.search_storage import FILES, is_storage_lost, open_storage
from dgm_run.runner.trial_values import TrialOutcome

_LOCK_FILE = ".search.lock"
_WORKER = "worker"
_REASON = "reason"


@dataclass(frozen=True)
class SearchSettings:
    """Settings of a search.

    Attributes:
        objectives: direction of each objective, `maximize` or `minimize`.
        num_trials: number of trials, over all workers and all commands.
        num_jobs: number of trials that a worker takes at once.
        storage: `sqlite`, `journal`, or the URL of a database.
        study_name: name of the search in its storage.
    """

    objectives: Mapping[str, str]
    num_trials: int
    num_jobs: int
    storage: str
    study_name: str


@dataclass(frozen=True)
class TakenTrial:
    """A trial that this worker carries out.

    Attributes:
        number: number of the trial, and name of its folder.
        params: value of each key.
        is_resumed: whether a worker that has stopped began it.
    """

    number: int
    params: Mapping[str, Any]
    is_resumed: bool


class Search:
    """A search as one of its workers sees it.

    A trial stays in the state RUNNING until a worker has told its end. A worker holds a lock as long as its process
    lives; another one takes over the trials of a worker whose lock is free.

    Args:
        folder: folder of the sweep.
        settings: settings of the search.
        sampler: sampler of the trials.
        pruner: pruner, which some samplers take into account.
        is_new: whether the search begins here.

    Raises:
        ConfigError: the storage is lost or cannot be opened, a new search has the name of another one, or a resumed
            search has other objectives.
    """

    def __init__(
        self, folder: Path, settings: SearchSettings, sampler: BaseSampler, pruner: BasePruner | None, is_new: bool
    ):
        if not is_new and is_storage_lost(settings.storage, folder):
            raise ConfigError(f"{folder / FILES[settings.storage]}: this file with the trials of the search is missing")
        self.folder = folder
        self.settings = settings
        self.worker = uuid4().hex
        self.worker_lock = FileLock(self._worker_file(self.worker))
        self.lock = FileLock(folder / _LOCK_FILE)
        folder.mkdir(parents=True, exist_ok=True)
        self.worker_lock.acquire()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # the runs print their own lines
        with self.lock:
            self.storage = open_storage(settings.storage, folder)
            self.study = self._open_study(sampler, pruner or optuna.pruners.NopPruner(), is_new)
        self.study_id = self.storage.get_study_id_from_name(settings.study_name)

    def _open_study(self, sampler: BaseSampler, pruner: BasePruner, is_new: bool) -> optuna.Study:
        settings = self.settings
        directions = [StudyDirection[each.upper()] for each in settings.objectives.values()]
        try:
            study = optuna.create_study(
                study_name=settings.study_name,
                storage=self.storage,
                sampler=sampler,
                pruner=pruner,
                directions=directions,
                load_if_exists=not is_new,
            )
        except optuna.exceptions.DuplicatedStudyError:
            raise ConfigError(
                f"hydra.sweeper.study_name={settings.study_name}: the storage has this search already: resume it by "
                "sweep.resume=FOLDER, or choose another name"
            ) from None
        former = study.user_attrs.get("objectives", settings.objectives)
        if list(former.items()) != list(settings.objectives.items()):
            raise ConfigError(f"hydra.sweeper.objectives: the search has {former}: keep them, or start a new search")
        study.set_user_attr("objectives", dict(settings.objectives))
        return study

    def take_trials(self, space: Mapping[str, BaseDistribution]) -> list[TakenTrial]:
        """Takes the next trials: first those of workers that have stopped, then new ones. An empty list is the end.

        Args:
            space: distribution of each key.

        Raises:
            ConfigError: a resumed search has another space.
        """
        with self.lock:
            trials = self.study.get_trials(deepcopy=False)
            orphans = [trial for trial in trials if self._is_orphan(trial)]
            resumed = [trial for trial in orphans if set(trial.params) == set(space)][: self.settings.num_jobs]
            for trial in orphans:  # a worker was killed while it chose the values
                if set(trial.params) != set(space):
                    self._tell(trial.number, TrialOutcome(None, reason="it was stopped before it began"))
            num_new = min(self.settings.num_jobs - len(resumed), self.settings.num_trials - len(trials))
            taken = [TakenTrial(trial.number, trial.params, True) for trial in resumed]
            taken += [self._ask(space) for _ in range(num_new)]
            for each in taken:
                trial_id = self.storage.get_trial_id_from_study_id_trial_number(self.study_id, each.number)
                self.storage.set_trial_user_attr(trial_id, _WORKER, self.worker)
            self._write_summary()
        return taken

    def _ask(self, space: Mapping[str, BaseDistribution]) -> TakenTrial:
        try:
            trial = self.study.ask(dict(space))
        except ValueError as error:
            reason = str(error).split("\n")[0]
            raise ConfigError(f"the search has another space ({reason}): keep it, or start a new search") from None
        return TakenTrial(trial.number, trial.params, False)

    def finish(self, number: int, outcome: TrialOutcome) -> None:
        """Tells Optuna how a trial ended. A failed trial has no value."""
        with self.lock:
            self._tell(number, outcome)
            self._write_summary()

    def _tell(self, number: int, outcome: TrialOutcome) -> None:
        if outcome.values is None:
            trial_id = self.storage.get_trial_id_from_study_id_trial_number(self.study_id, number)
            self.storage.set_trial_user_attr(trial_id, _REASON, outcome.reason)
            self.study.tell(number, state=TrialState.FAIL)
        elif outcome.is_pruned:
            self.study.tell(number, state=TrialState.PRUNED)
        else:
            self.study.tell(number, outcome.values)

    def close(self) -> None:
        """Ends this worker: another one may take over its unfinished trials."""
        self.worker_lock.release()
        with suppress(OSError):
            self._worker_file(self.worker).unlink()

    def _is_orphan(self, trial: FrozenTrial) -> bool:
        """Returns whether a trial is unfinished, and neither its worker nor its run is alive."""
        worker = trial.user_attrs.get(_WORKER, "")
        if trial.state != TrialState.RUNNING or worker == self.worker:
            return False
        return not is_worker_alive(self._worker_file(worker)) and not is_run_folder_locked(
            self.folder / str(trial.number)
        )

    def _worker_file(self, worker: str) -> Path:
        return worker_file(self.folder, worker)

    def find_best(self) -> list[FrozenTrial]:
        """Returns the best trial, or the Pareto front of several objectives; empty where no trial is complete."""
        if not self.study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
            return []
        return self.study.best_trials if len(self.settings.objectives) > 1 else [self.study.best_trial]

    def _write_summary(self) -> None:
        trials = [
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "params": trial.params,
                "values": trial.values if trial.state == TrialState.COMPLETE else None,
            }
            for trial in self.study.get_trials(deepcopy=False)
        ]
        best = [trial.number for trial in self.find_best()]
        content = {"objectives": dict(self.settings.objectives), "best": best, "trials": trials}
        results.write(self.folder / SEARCH_FILE, content)
