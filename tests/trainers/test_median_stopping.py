import json

import pytest

import dgm_run
from dgm_run.runner import run_folder
from dgm_run.trainers.median_stopping import MedianStopping, is_decision_epoch
from tests.support.tiny import TINY, metrics


def job(sweep, name, values, quantity="valid/elbo", tail=""):
    (sweep / name).mkdir(parents=True)
    rows = [{"step": i, "epoch": i, "name": quantity, "value": value} for i, value in enumerate(values, 1)]
    (sweep / name / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)
    return sweep / name


@pytest.fixture
def sweep(tmp_path):
    """Five jobs that had -5, ..., -1 by their third epoch, one that has not come so far, one of another quantity."""
    (tmp_path / "multirun.yaml").touch()
    for i in range(1, 6):
        job(tmp_path, str(i), [-9.0, -i, -8.0, 0.0], tail='{"step": 9, "epo')
    job(tmp_path, "late", [-0.1, -0.1])
    job(tmp_path, "other", [100.0] * 5, "valid/iwae")
    return tmp_path


def test_job_is_compared_with_the_median(sweep):
    rivals = MedianStopping(job(sweep, "me", [7.0, 7.0, 7.0]))
    assert sorted(rivals.read_best_values("valid/elbo", 3)) == [-5, -4, -3, -2, -1]
    assert rivals.should_stop("valid/elbo", 3, -3.1)
    assert not rivals.should_stop("valid/elbo", 3, -3.0)
    assert rivals.read_best_values("valid/elbo", 4) == [0.0] * 5
    assert rivals.read_best_values("valid/elbo", 5) == []


def test_few_others_and_run_say_nothing(sweep):
    rivals = MedianStopping(sweep / "me")
    (sweep / "1" / "metrics.jsonl").unlink()
    assert rivals.should_stop("valid/elbo", 3, -100.0)
    (sweep / "2" / "metrics.jsonl").unlink()
    assert not rivals.should_stop("valid/elbo", 3, -100.0)
    (sweep / "multirun.yaml").unlink()
    assert rivals.read_best_values("valid/elbo", 3) == []


def test_median_needs_equal_data_and_loss(sweep):
    configs = [{"dataset": {"name": name, "label_seed": i}, "objective": {"beta": beta}}
               for i, (name, beta) in enumerate([("digits", 1.0)] * 3 + [("mnist", 1.0), ("digits", 2.0)])]  # fmt: skip
    for i, config in enumerate(configs, 1):
        run_folder.save_config(sweep / str(i), config)
    me = job(sweep, "me", [7.0])
    run_folder.save_config(me, configs[0])
    assert MedianStopping(me).read_best_values("valid/elbo", 3) == [-1, -2, -3]


def test_decision_epochs_double():
    assert [epoch for epoch in range(1, 50) if is_decision_epoch(epoch, epoch - 1, 3)] == [3, 6, 12, 24, 48]
    assert [epoch for epoch in range(5, 60, 5) if is_decision_epoch(epoch, epoch - 5, 3)] == [5, 10, 15, 25, 50]


def test_job_below_the_median_is_evaluated(tmp_path):
    (tmp_path / "multirun.yaml").touch()
    overrides = (*TINY, "trainer.max_epochs=6", "trainer.median_stopping_after=2")
    config = run_folder.resolve_config(dgm_run.compose(*overrides, "dataset.label_seed=3", "model.latent_dim=3"))
    for i in range(4):
        run_folder.save_config(job(tmp_path, str(i), [0.0] * 10), config)  # no ELBO comes near it
    found = dgm_run.run(dgm_run.compose(*overrides), tmp_path / "me")
    assert (found["training"]["stopped_by"], found["training"]["epochs"]) == ("median_stopping", 2)
    assert found["estimates"]
    assert max(row["epoch"] for row in metrics(tmp_path / "me")) == 2
    alone = dgm_run.run(dgm_run.compose(*overrides), tmp_path / "alone" / "me")
    assert alone["training"]["stopped_by"] == "max_epochs"
