"""Sampler of a search whose random numbers are keyed by the number of the trial."""

from collections.abc import Callable, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from dgm_run import rng


class SeededSampler(BaseSampler):
    """Sampler of Optuna with a new random stream for each trial, keyed by the seed and the number of the trial.

    Optuna does not save the random state of a sampler. With a stream for each trial there is none to save: a resumed
    search suggests the trials of an unstopped one. Workers with one seed suggest different trials.

    Args:
        make_sampler: constructor of the sampler, which takes `seed`.
        seed: seed of the search.
    """

    def __init__(self, make_sampler: Callable[..., BaseSampler], seed: int):
        self.make_sampler = make_sampler
        self.seed = seed
        self.sampler = make_sampler(seed=seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Seeds the stream of the trial."""
        self.sampler = self.make_sampler(seed=rng.key(self.seed, "search", trial.number) % 2**32)
        self.sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns the keys that the sampler chooses together."""
        return self.sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Chooses the values of these keys together."""
        return self.sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Chooses the value of one key."""
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Takes the end of a trial."""
        self.sampler.after_trial(study, trial, state, values)
