"""Results that are merged, cannot be written, or cannot be shown."""

import json

import pytest

import dgm_run as package
from dgm_run.errors import ResultsError, TrainingError
from tests.support.tiny import TINY


def test_new_evaluation_keeps_old_estimates(tmp_path):
    few = package.run(package.compose(*TINY), tmp_path)["estimates"]
    more = ("trainer.resume=auto", "estimators.importance_sampling.num_samples=3")
    found = package.run(package.compose(*TINY, *more), tmp_path)["estimates"]
    samples = [row["settings"].get("num_samples") for row in found if row["quantity"] == "log_likelihood"]
    assert samples == [2, 3]
    kept = [row for row in found if row["settings"].get("num_samples") == 2]
    assert kept == [row for row in few if "num_samples" in row["settings"]]
    trained = (*more, "trainer.max_epochs=2")  # another model: what the former one was is of no use
    found = package.run(package.compose(*TINY, *trained), tmp_path)["estimates"]
    assert {row["settings"].get("num_samples") for row in found if "num_samples" in row["settings"]} == {3}


def test_a_full_disk_keeps_the_training(tmp_path, monkeypatch, capsys):
    def fail(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("dgm_run.runner.results.write", fail)
        patch.setattr("dgm_run.runner.results.write_values", lambda path, rows, values: fail(path, rows))
        with pytest.raises(ResultsError) as error:
            package.run(package.compose(*TINY), tmp_path, "dgm-run trainer.resume=here")
    assert str(error.value) == (
        f"cannot write {tmp_path}/results.json (No space left on device); the last checkpoint is kept; "
        "to resume: dgm-run trainer.resume=here"
    )
    assert "test/log_likelihood" in capsys.readouterr().out
    found = package.run(package.compose(*TINY, "trainer.resume=auto"), tmp_path)
    assert found["training"]["steps"] == 3
    assert (tmp_path / "run.log").read_text().count("=== ") == 2


def test_an_odd_summary_costs_no_results(tmp_path, capsys, monkeypatch):
    def fail(*arguments):
        raise AttributeError("no such thing")

    monkeypatch.setattr("dgm_run.runner.finish.summarize_run", fail)
    found = package.run(package.compose(*TINY), tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == found
    shown = capsys.readouterr().out
    assert "the summary of the run failed: AttributeError" in shown
    assert "test/log_likelihood" in shown


def test_full_disk_is_reported(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dgm_run.runner.results.write", fail)
    monkeypatch.setattr("dgm_run.recording.checkpoint.Checkpoints.save", fail)
    with pytest.raises(TrainingError, match="nor any checkpoint: free disk space, and start the run again"):
        package.run(package.compose(*TINY), tmp_path, "dgm-run trainer.resume=here")
