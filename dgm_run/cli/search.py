"""Sweeper of Hydra that searches by Optuna, `hydra/sweeper=optuna`."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from dgm_run.config.compose import as_dict
from dgm_run.config.hydra_errors import SEARCH
from dgm_run.config.overrides import read_key
from dgm_run.errors import ConfigError

if TYPE_CHECKING:
    from dgm_run.cli.search_space import SearchSpace
    from dgm_run.runner.search import Search, SearchSettings, TakenTrial


class OptunaSweeper(Sweeper):
    """Search by Optuna, whose trials are jobs of a sweep.

    Args:
        objectives: direction of each objective.
        n_trials: number of trials, over all workers and all commands.
        n_jobs: number of jobs that the launcher gets at once.
        storage: `sqlite`, `journal`, or the URL of a database.
        study_name: name of the search in its storage.
        sampler: constructor of Optuna's sampler, with its settings.
        pruner: Optuna's pruner; None for none.
        params: overrides of searched keys, which the command may replace.
    """

    def __init__(
        self,
        objectives: Mapping[str, Any],
        n_trials: int,
        n_jobs: int,
        storage: str,
        study_name: str,
        sampler: partial,
        pruner: Any,
        params: Mapping[str, str] | None,
    ):
        self.objectives = objectives
        self.num_trials = n_trials
        self.num_jobs = n_jobs
        self.storage = storage
        self.study_name = study_name
        self.make_sampler = sampler
        self.pruner = pruner
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes the configuration of the command, and makes the launcher."""
        self.config = config
        self.hydra_context = hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Carries out trials until the search has its number of them.

        Args:
            arguments: overrides of the command.
        """
        from dgm_run.cli.search_space import parse_space
        from dgm_run.runner.search import Search
        from dgm_run.runner.seeded_sampler import SeededSampler

        assert self.config is not None
        assert self.hydra_context is not None
        settings = self._check_settings()
        given_keys = {read_key(each) for each in arguments}
        params = [f"{key}={value}" for key, value in self.params.items() if read_key(key) not in given_keys]
        space = parse_space([*params, *arguments], self.hydra_context.config_loader)
        self.validate_batch_is_legal(list(map(space.write_overrides, space.make_examples())))
        folder = Path(self.config.hydra.sweep.dir).absolute()
        is_new = not (folder / "multirun.yaml").exists()
        seed = self.make_sampler.keywords.get("seed")
        sampler = self.make_sampler() if seed is None else SeededSampler(self.make_sampler, seed)
        search = Search(folder, settings, sampler, self.pruner, is_new)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        if not is_new:
            sys.stdout.write(_describe_progress(search))
        try:
            while trials := search.take_trials(space.distributions):
                self._run_trials(search, space, trials)
        finally:
            search.close()
        sys.stdout.write(_describe_best(search))

    def _check_settings(self) -> "SearchSettings":
        """Returns the settings of the search.

        Raises:
            ConfigError: one of them cannot be used.
        """
        from dgm_run.runner.search import SearchSettings
        from dgm_run.runner.trial_values import check_objectives

        for name, value in (("n_trials", self.num_trials), ("n_jobs", self.num_jobs)):
            if type(value) is not int or value < 1:
                raise ConfigError(f"hydra.sweeper.{name}={value}: write a whole number from 1 on")
        objectives = check_objectives(self.objectives)
        if self.pruner is not None and objectives != {"best": "maximize"}:
            raise ConfigError(
                "hydra/sweeper/pruner: a pruner compares best validation values: keep the objectives {best: maximize}, "
                "or search without a pruner"
            )
        return SearchSettings(objectives, self.num_trials, self.num_jobs, self.storage, self.study_name)

    def _run_trials(self, search: "Search", space: "SearchSpace", trials: Sequence["TakenTrial"]) -> None:
        """Runs trials as jobs of the launcher, and tells Optuna how each ended."""
        from dgm_run.runner.trial_values import read_outcome

        assert self.launcher is not None
        jobs = [self._write_job(search, space, trial) for trial in trials]
        folders = [search.folder / str(trial.number) for trial in trials]
        failure: Exception | None = None
        try:
            self.launcher.launch(jobs, initial_job_idx=trials[0].number)
        except Exception as error:  # a launcher may raise one for a job that was killed
            failure = error
        for trial, folder in zip(trials, folders, strict=True):
            search.finish(trial.number, read_outcome(folder, list(search.settings.objectives)))
        if failure and not any((folder / ".hydra").exists() for folder in folders):
            raise failure  # the launcher started none of them
        if failure:
            sys.stderr.write(f"the launcher failed, and the search goes on: {failure}\n")

    def _write_job(self, search: "Search", space: "SearchSpace", trial: "TakenTrial") -> list[str]:
        """Writes the overrides of a trial's job, whose folder has the number of the trial."""
        assert self.config is not None
        overrides = space.write_overrides(trial.params)
        if trial.is_resumed and "trainer.resume=auto" not in overrides:
            overrides.append("trainer.resume=auto")
        pruner = self.config.hydra.sweeper.pruner
        if pruner is not None:
            from dgm_run.runner.pruning import write_trial

            place = search.folder / str(trial.number)
            settings = as_dict(pruner, resolve=True)
            storage = as_dict(self.config.hydra.sweeper, resolve=False)[
                "storage"
            ]  # it may name the variable of a password
            write_trial(place, storage, self.study_name, trial.number, settings)
        return [*overrides, f"hydra.sweep.subdir={trial.number}"]


def _describe_progress(search: "Search") -> str:
    """Describes the trials of a search that is resumed, in a line."""
    states = Counter(trial.state.name.lower() for trial in search.study.get_trials(deepcopy=False))
    counts = [f"{number} {state}, " for state, number in sorted(states.items())]
    return f"trials of the search: {''.join(counts)}{search.settings.num_trials} in all\n"


def _describe_best(search: "Search") -> str:
    """Describes the best trial, or the trials of the Pareto front, a line each."""
    best = search.find_best()
    if not best:
        return "no trial has a value\n"
    names = list(search.settings.objectives)
    head = "best trial:" if len(names) == 1 else f"Pareto front, {len(best)} of the trials:"
    lines = []
    for trial in best:
        values = " ".join(f"{name}={value:.6g}" for name, value in zip(names, trial.values, strict=True))
        settings = " ".join(f"{key}={value}" for key, value in trial.params.items())
        lines.append(f"  {trial.number}: {values} with {settings}")
    return "\n".join([head, *lines]) + "\n"


def check_installation(arguments: Sequence[str]) -> None:
    """Refuses a search where Optuna is not installed, or where another sweeper has its name.

    Raises:
        ConfigError: says what to install or to remove.
    """
    is_search = SEARCH in arguments or any(read_key(each) == "hparams_search" for each in arguments)
    if not is_search or not {"-m", "--multirun"} & set(arguments):
        return  # a trial that is resumed as a single run needs no Optuna
    if find_spec("optuna") is None:
        raise ConfigError("a search needs Optuna: pip install 'dgm-run[optuna]'")
    if find_spec("hydra_plugins.hydra_optuna_sweeper"):
        raise ConfigError("hydra-optuna-sweeper has the name of this search: pip uninstall hydra-optuna-sweeper")
