"""Runs whose hours are over: they are evaluated, and go on to the same bits when they get more."""

import pytest
import torch

import dgm_run
from dgm_run.recording.checkpoint import Checkpoints
from dgm_run.trainers.training_clock import TrainingClock
from tests.support.tiny import TINY, TINY_LAYERS, metrics


@pytest.fixture
def slow_clock(monkeypatch):
    """Lets a batch of 500 examples take an hour."""
    monkeypatch.setattr(TrainingClock, "total_seconds", property(lambda clock: 3600 * clock.num_examples / 500))


def run(folder, *overrides, base=TINY):
    return dgm_run.run(dgm_run.compose(*base, "trainer.max_epochs=3", *overrides), folder)


def load_last(folder):
    return Checkpoints(folder / "checkpoints").load("last")


def assert_equal_runs(one, other):
    weights = load_last(other)[0]
    assert metrics(one) == metrics(other)
    assert all(torch.equal(value, weights[name]) for name, value in load_last(one)[0].items())


def test_run_stops_within_its_epoch_and_is_evaluated(slow_clock, tmp_path):
    found = run(tmp_path, "trainer.max_hours=4")
    training = found["training"]
    assert (training["steps"], training["epochs"], training["stopped_by"]) == (5, 2, "max_hours")
    assert training["best_epoch"] == 1
    assert training["best"] == next(line["value"] for line in metrics(tmp_path) if line["name"] == "valid/elbo")
    assert found["estimates"]
    assert load_last(tmp_path)[1]["step"] == 5
    best = Checkpoints(tmp_path / "checkpoints").load("best")[0]
    assert all(torch.equal(value, best[name]) for name, value in dgm_run.load(tmp_path).model.state_dict().items())


def test_run_with_more_hours_ends_as_one_without_limit(slow_clock, tmp_path):
    run(tmp_path / "whole")
    run(tmp_path / "resumed", "trainer.max_hours=4")
    run(tmp_path / "resumed", "trainer.max_hours=4.6", "trainer.resume=auto")
    assert load_last(tmp_path / "resumed")[1]["step"] == 6
    found = run(tmp_path / "resumed", "trainer.max_hours=null", "trainer.resume=auto")
    assert found["training"]["stopped_by"] == "max_epochs"
    assert_equal_runs(tmp_path / "whole", tmp_path / "resumed")


def test_time_over_before_any_validation(slow_clock, tmp_path):
    found = run(tmp_path / "resumed", "trainer.max_hours=0.5")
    assert (found["training"]["steps"], found["training"]["stopped_by"]) == (1, "max_hours")
    assert {line["step"] for line in metrics(tmp_path / "resumed")} == {1}
    assert "valid/elbo" in {line["name"] for line in metrics(tmp_path / "resumed")}
    run(tmp_path / "whole")
    run(tmp_path / "resumed", "trainer.max_hours=null", "trainer.resume=auto")
    assert_equal_runs(tmp_path / "whole", tmp_path / "resumed")


def test_same_hours_evaluate_again_without_a_step(slow_clock, tmp_path):
    first = run(tmp_path, "trainer.max_hours=4")
    again = run(tmp_path, "trainer.max_hours=4", f"trainer.resume={tmp_path}")
    assert again["training"]["steps"] == 5
    assert [row["value"] for row in again["estimates"]] == [row["value"] for row in first["estimates"]]


@pytest.mark.parametrize(("hours", "steps"), [(4, 5), (7, 8)])
def test_hours_of_all_layers_count(hours, steps, slow_clock, tmp_path):
    base = ("model=dbn", *TINY_LAYERS)
    found = run(tmp_path / "resumed", f"trainer.max_hours={hours}", base=base)
    assert (found["training"]["steps"], found["training"]["stopped_by"]) == (steps, "max_hours")
    assert found["estimates"]
    run(tmp_path / "whole", base=base)
    run(tmp_path / "resumed", "trainer.max_hours=null", "trainer.resume=auto", base=base)
    assert_equal_runs(tmp_path / "whole", tmp_path / "resumed")


def test_hours_are_those_of_the_clock(tmp_path):
    found = run(tmp_path, "trainer.max_epochs=100000", "trainer.max_hours=1e-4", "trainer.patience=null")
    assert found["training"]["stopped_by"] == "max_hours"
    assert 0.36 <= found["training"]["seconds"] < 30


@pytest.mark.slow
def test_processes_stop_together(tmp_path):
    found = run(tmp_path, "trainer.max_epochs=100000", "trainer.max_hours=1e-3", "trainer.patience=null",
                "trainer.devices=2", "callbacks=[profile]")  # fmt: skip
    assert found["training"]["stopped_by"] == "max_hours"
    assert found["environment"]["processes"] == 2
    assert [path.name for path in (tmp_path / "profile").iterdir()] == ["step_10.json"]
