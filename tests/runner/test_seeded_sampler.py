from functools import partial

import optuna
import pytest

from dgm_run import rng
from dgm_run.runner.seeded_sampler import SeededSampler

SAMPLERS = [
    optuna.samplers.TPESampler,
    optuna.samplers.RandomSampler,
    partial(optuna.samplers.NSGAIISampler, population_size=4),
    pytest.param(partial(optuna.samplers.GPSampler, n_startup_trials=4), marks=pytest.mark.slow),
]
SPACE = {
    "x": optuna.distributions.FloatDistribution(-3, 3),
    "n": optuna.distributions.IntDistribution(1, 9),
    "c": optuna.distributions.CategoricalDistribution(["a", "b"]),
}


def value(params):
    return (params["x"] - 1) ** 2 + 0.1 * params["n"] + (params["c"] == "a")


def search(study, num_trials):
    for _ in range(num_trials):
        trial = study.ask(SPACE)
        study.tell(trial, value(trial.params))


def list_params(study):
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("make_sampler", SAMPLERS)
def test_each_trial_has_a_stream_of_its_own(make_sampler):
    study = optuna.create_study(sampler=SeededSampler(make_sampler, 7))
    search(study, 14)
    other = optuna.create_study()
    for number in range(14):
        other.sampler = make_sampler(seed=rng.key(7, "search", number) % 2**32)
        search(other, 1)
    assert list_params(study) == list_params(other)


@pytest.mark.parametrize("make_sampler", SAMPLERS)
def test_new_sampler_continues_a_search(make_sampler, tmp_path):
    whole = optuna.create_study(sampler=SeededSampler(make_sampler, 7))
    search(whole, 14)
    storage = f"sqlite:///{tmp_path / 'search.db'}"
    search(optuna.create_study(storage=storage, study_name="a", sampler=SeededSampler(make_sampler, 7)), 11)
    again = optuna.load_study(storage=storage, study_name="a", sampler=SeededSampler(make_sampler, 7))
    search(again, 3)
    assert list_params(again) == list_params(whole)


def test_seeds_give_different_searches():
    studies = [optuna.create_study(sampler=SeededSampler(optuna.samplers.TPESampler, seed)) for seed in (0, 1)]
    for study in studies:
        search(study, 3)
    assert list_params(studies[0]) != list_params(studies[1])
