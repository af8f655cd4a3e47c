"""MLflow with a local store, read by its client."""

import pytest

import dgm_run
from dgm_run.distributed.signals import Interrupted
from tests.support.services import read_identity, read_steps, train_killed_run
from tests.support.tiny import TINY, stop_after

mlflow = pytest.importorskip("mlflow")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Overrides that choose an empty store."""
    monkeypatch.chdir(tmp_path)  # artifacts lie in the current folder
    return ("logger=[mlflow]", f"logger.mlflow.tracking_uri=sqlite:///{tmp_path}/mlflow.db")


def find_run(folder):
    identity = read_identity(folder, "mlflow")
    client = mlflow.MlflowClient(identity["tracking_uri"])
    (experiment,) = [each for each in client.search_experiments() if each.name == "dgm-run"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == identity["run_id"]
    return client, run


@pytest.mark.slow
def test_killed_run_has_each_step_once(store, tmp_path, monkeypatch):
    train_killed_run(tmp_path / "run", monkeypatch, *store)
    client, run = find_run(tmp_path / "run")
    for name, expected in read_steps(tmp_path / "run").items():
        history = client.get_metric_history(run.info.run_id, name)
        assert sorted((each.step, each.value) for each in history) == expected, name
    assert run.info.status == "FINISHED"
    assert run.data.params["model.latent_dim"] == "2"
    assert [each.path for each in client.list_artifacts(run.info.run_id, "samples")] == ["samples/epoch_0003.png"]


@pytest.mark.slow
def test_stopped_run_is_killed_and_goes_on_elsewhere(store, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        with pytest.raises(Interrupted):
            dgm_run.run(dgm_run.compose(*TINY, *store), folder)
    assert find_run(folder)[1].info.status == "KILLED"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    moved = ("logger=[mlflow]", "logger.mlflow.tracking_uri=null", "trainer.resume=auto")
    dgm_run.run(dgm_run.compose(*TINY, *moved), folder)
    client, run = find_run(folder)
    assert run.info.status == "FINISHED"
    assert client.get_metric_history(run.info.run_id, "train/loss")[0].step == 3
