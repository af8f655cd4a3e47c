from statistics import median

import optuna
import pytest

from dgm_run.runner.pruning import open_pruning, write_trial
from dgm_run.runner.search_storage import open_storage

MEDIAN = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 2, "n_warmup_steps": 2}
HYPERBAND = {"_target_": "optuna.pruners.HyperbandPruner", "max_resource": 9, "min_resource": 1}


@pytest.fixture
def study(tmp_path):
    storage = open_storage("sqlite", tmp_path)
    return optuna.create_study(storage=storage, study_name="search", direction="maximize")


def start_trial(study, folder, pruner=MEDIAN):
    trial = study.ask()
    write_trial(folder / str(trial.number), "sqlite", "search", trial.number, pruner)
    return trial.number, open_pruning(folder / str(trial.number))


def test_median_pruner_ends_the_worse_half(study, tmp_path):
    curves = [[-9.0, -8.0, -7.0, -6.0], [-5.0, -4.0, -3.0, -2.0], [-9.0, -5.5, -5.2, -5.1], [-1.0, -1.0, -0.9, -0.8]]
    finished = []
    for curve in curves:
        number, rule = start_trial(study, tmp_path)
        stops = [epoch for epoch, best in enumerate(curve, 1) if rule.should_stop("valid/elbo", epoch, best)]
        others = [other for other in finished if len(finished) >= 2]
        expected = [
            e for e, best in enumerate(curve, 1) if others and e > 2 and best < median(o[e - 1] for o in others)
        ]
        assert stops == expected
        study.tell(number, curve[-1])
        finished.append(curve)
    assert [list(t.intermediate_values.values()) for t in study.trials] == curves


@pytest.mark.slow
def test_hyperband_halves_the_trials(study, tmp_path):
    ends = []
    for i in range(27):
        number, rule = start_trial(study, tmp_path, HYPERBAND)
        best = -abs(i * 5 % 27 - 13.0)
        epochs = next((e for e in range(1, 10) if rule.should_stop("valid/elbo", e, best)), None)
        study.tell(number, state=optuna.trial.TrialState.PRUNED) if epochs else study.tell(number, best)
        ends.append(epochs)
    assert set(ends) <= {None, 1, 3, 9}  # 9 epochs, divided by 3 and again
    assert None in ends
    assert len([e for e in ends if e]) > 9


def test_finished_trial_is_not_ended_again(study, tmp_path):
    number, rule = start_trial(study, tmp_path)
    study.tell(number, 1.0)
    assert not rule.should_stop("valid/elbo", 5, -100.0)
    assert study.trials[0].intermediate_values == {}


def test_run_without_a_search_has_no_rule(tmp_path):
    assert open_pruning(tmp_path) is None
    write_trial(tmp_path / "0", "sqlite", "search", 0, MEDIAN)
    assert open_pruning(tmp_path / "0") is None  # the folder was copied without its search
    assert not (tmp_path / "search.db").exists()


def test_storage_may_name_an_environment_variable(study, tmp_path, monkeypatch):
    monkeypatch.setenv("SEARCH_URL", f"sqlite:///{tmp_path}/search.db")
    number = study.ask().number
    write_trial(tmp_path / "0", "${oc.env:SEARCH_URL}", "search", number, MEDIAN)
    assert str(tmp_path) not in (tmp_path / "0" / "trial.json").read_text()
    assert not open_pruning(tmp_path / "0").should_stop("valid/elbo", 1, -3.0)
    assert study.trials[number].intermediate_values == {1: -3.0}
