import itertools

import pytest
import torch

import dgm_run
from dgm_run.distributed.signals import Interrupted
from dgm_run.errors import ConfigError
from dgm_run.recording.checkpoint import Checkpoints
from tests.support.tiny import metrics, stop_after

SMALL = ("model=factor_analysis", "model.latent_dim=3", "trainer.max_epochs=12", "trainer.eval_every=3",
         "trainer.threads=1", "trainer.device=cpu", "trainer.patience=null")  # fmt: skip


def values(result):
    return {row["quantity"]: row["value"] for row in result["estimates"]}


def test_em_steps_raise_the_likelihood(tmp_path):
    result = dgm_run.run(dgm_run.compose(*SMALL, "trainer.max_epochs=300"), tmp_path)
    seen = [line["value"] for line in metrics(tmp_path) if line["name"] == "train/log_likelihood"]
    assert len(seen) == result["training"]["steps"] == 300
    assert min(b - a for a, b in itertools.pairwise(seen)) > -1e-3  # parameters are in single precision
    found = values(result)
    assert abs(found["log_likelihood"] - found["factor_analysis"]) < 0.5
    assert found["ppca"] < found["factor_analysis"]


def test_stopped_and_resumed_it_ends_where_it_would_have(tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    dgm_run.run(dgm_run.compose(*SMALL), whole)
    with monkeypatch.context() as patch:
        stop_after(9, patch)
        with pytest.raises(Interrupted):
            dgm_run.run(dgm_run.compose(*SMALL), parts)
    dgm_run.run(dgm_run.compose(*SMALL, f"trainer.resume={parts}"), parts)
    expected, found = (Checkpoints(folder / "checkpoints").load("last")[0] for folder in (whole, parts))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("overrides", [["model=vae", "trainer=em"], ["trainer=em", "objective=log_likelihood"]])
def test_other_models_are_refused(overrides, tmp_path):
    with pytest.raises(ConfigError, match="needs model to be of kind"):
        dgm_run.run(dgm_run.compose(*overrides), tmp_path)
