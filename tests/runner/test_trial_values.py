import json

import pytest

from dgm_run.errors import ConfigError
from dgm_run.runner.trial_values import TrialOutcome, check_objectives, read_outcome

TRAINING = {
    "steps": 6,
    "best": -90.5,
    "best_epoch": 2,
    "seconds": 3.25,
    "monitor": "valid/elbo",
    "stopped_by": "patience",
}
RESULTS = {"preprocessing": "", "estimates": [], "training": TRAINING, "parameters": 12}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    rows = [(1, "valid/kl", 9.0), (2, "valid/kl", 7.5), (2, "train/loss", 1.0), (3, "valid/kl", 6.0)]
    lines = [json.dumps({"step": 2 * epoch, "epoch": epoch, "name": name, "value": v}) for epoch, name, v in rows]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_values_are_those_of_the_best_epoch(folder):
    names = ["best", "valid/elbo", "valid/kl", "seconds", "parameters"]
    assert read_outcome(folder, names) == TrialOutcome([-90.5, -90.5, 7.5, 3.25, 12.0])


def test_unknown_validation_quantity_names_others(folder):
    outcome = read_outcome(folder, ["valid/nope"])
    assert outcome.values is None
    assert outcome.reason == "hydra.sweeper.objectives: the run has no valid/nope: choose one of valid/kl"


def test_pruned_trial_is_recognised(folder):
    pruned = RESULTS | {"training": TRAINING | {"stopped_by": "pruning"}}
    (folder / "results.json").write_text(json.dumps(pruned))
    assert read_outcome(folder, ["best"]).is_pruned


def test_trial_without_results_has_failed(tmp_path):
    assert read_outcome(tmp_path, ["best"]).values is None
    (tmp_path / "error.txt").write_text("the loss is not finite\n")
    assert read_outcome(tmp_path, ["best"]) == TrialOutcome(None, reason="the loss is not finite")


def test_value_that_is_not_finite_has_failed(folder):
    (folder / "results.json").write_text(json.dumps(RESULTS | {"training": TRAINING | {"best": float("nan")}}))
    assert read_outcome(folder, ["best"]).values is None


def test_objectives_keep_their_order_without_null():
    objectives = {"seconds": "minimize", "best": None, "valid/kl": "maximize"}
    assert list(check_objectives(objectives).items()) == [("seconds", "minimize"), ("valid/kl", "maximize")]


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        ({"log_likelihood": "maximize"}, "log_likelihood: there is no such objective: choose one of best, seconds"),
        ({"best": "up"}, "objectives.best=up: write maximize or minimize"),
        ({"best": None}, "none is left"),
    ],
)
def test_wrong_objectives_are_refused(objectives, message):
    with pytest.raises(ConfigError, match=message):
        check_objectives(objectives)
