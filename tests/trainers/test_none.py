"""Runs without training."""

import pytest

import dgm_run
from dgm_run.errors import ConfigError
from dgm_run.recording.checkpoint import Checkpoints
from tests.support.tiny import TINY_ENERGY, metrics

FEW = [each for each in TINY_ENERGY if not each.startswith(("trainer.max_epochs", "trainer.batch_size"))]
ARGUMENTS = (*FEW, "dataset=bars_and_stripes", "trainer=none", "~objective", "~optimizer", "~schedule")


def test_weights_stay(tmp_path):
    results = dgm_run.run(dgm_run.compose(*ARGUMENTS), tmp_path)
    assert results["training"]["stopped_by"] == "no training"
    assert (results["training"]["steps"], results["training"]["best"]) == (0, None)
    best, last = (Checkpoints(tmp_path / "checkpoints").load(name)[0] for name in ("best", "last"))
    loaded = dgm_run.load(tmp_path).model.state_dict()
    for name, value in loaded.items():
        assert value.equal(best[name])
        assert value.equal(last[name])
    assert "test/log_likelihood" in {each["name"] for each in metrics(tmp_path)}


def test_finished_run_has_nothing_to_do(tmp_path, capsys):
    first = dgm_run.run(dgm_run.compose(*ARGUMENTS, "trainer.resume=auto"), tmp_path)
    assert dgm_run.run(dgm_run.compose(*ARGUMENTS, "trainer.resume=auto"), tmp_path) == first
    assert "nothing to do" in capsys.readouterr().out


def test_training_needs_an_objective(tmp_path):
    with pytest.raises(ConfigError, match="objective: none is chosen"):
        dgm_run.run(dgm_run.compose("~objective"), tmp_path)


def test_resumed_run_keeps_the_initial_weights(tmp_path):
    """A run whose evaluation was stopped must not evaluate fresh weights after it is resumed."""
    dgm_run.run(dgm_run.compose(*FEW, "dataset=bars_and_stripes", "seed=5", "trainer.max_epochs=1"), tmp_path / "first")
    arguments = (*ARGUMENTS, f"trainer.init_from={tmp_path / 'first'}", "trainer.resume=auto")
    expected = dgm_run.run(dgm_run.compose(*ARGUMENTS, arguments[-2]), tmp_path / "whole")["estimates"]
    dgm_run.run(dgm_run.compose(*arguments), tmp_path / "stopped")
    (tmp_path / "stopped" / "results.json").unlink()
    resumed = dgm_run.run(dgm_run.compose(*arguments), tmp_path / "stopped")
    assert [row["value"] for row in resumed["estimates"]] == [row["value"] for row in expected]
    fresh = dgm_run.run(dgm_run.compose(*ARGUMENTS), tmp_path / "fresh")["estimates"]
    assert fresh[0]["value"] != expected[0]["value"]
