"""Runs in a folder that holds results or checkpoints."""

import shutil

import numpy as np
import pytest
from omegaconf import OmegaConf

import dgm_run as package
from dgm_run.errors import CheckpointError
from dgm_run.runner import run_folder
from tests.support.tiny import TINY


def test_finished_run_needs_no_checkpoints(tmp_path):
    found = package.run(package.compose(*TINY), tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    written = (tmp_path / "results.json").read_bytes()
    again = package.compose(*TINY, "trainer.resume=auto", "trainer.threads=2")
    assert package.run(again, tmp_path)["estimates"] == found["estimates"]
    for other in (("trainer.resume=auto", "seed=1"), ()):
        with pytest.raises(CheckpointError, match="holds the results of a run whose checkpoints are gone"):
            package.run(package.compose(*TINY, *other), tmp_path)
    assert (tmp_path / "results.json").read_bytes() == written


def test_finished_run_keeps_its_configuration(tmp_path):
    cfg = package.compose(*TINY, "trainer.resume=auto")
    package.run(cfg, tmp_path)
    file = tmp_path / ".hydra" / "config.yaml"
    written = file.read_text()
    saved = run_folder.load_config(tmp_path)
    file.write_text(OmegaConf.to_yaml(cfg))  # as Hydra does before it runs a job
    assert "${" in file.read_text()
    package.run(cfg, tmp_path)
    assert file.read_text() == written
    for weights in tmp_path.glob("checkpoints/*last/weights.safetensors"):
        weights.write_bytes(b"")
    file.write_text(OmegaConf.to_yaml(cfg))
    package.run(cfg, tmp_path)
    assert run_folder.load_config(tmp_path) == saved


def test_summary_is_of_the_present_evaluation(tmp_path):
    first = package.run(package.compose(*TINY), tmp_path)
    key = "estimators.importance_sampling.num_samples=3"
    package.run(package.compose(*TINY, key, f"trainer.resume={tmp_path}"), tmp_path)
    log = (tmp_path / "run.log").read_text()
    (row,) = (row for row in first["estimates"] if row["quantity"] == "log_likelihood")
    line = f"ess_median {row['diagnostics']['ess_median']:.5g}"
    assert line in log
    assert line not in log.rpartition("resuming after step")[2]


DAMAGED = {
    "values.npz": [b"", b"PK\x03\x04 cut", None],
    "results.json": [b"", b"null", b"[]", b"{}", b'{"estimates": [], "training": [1], "preprocessing": "x"}',
                     b'{"estimates": [3], "training": {"steps": 3}, "preprocessing": "x"}', b"\xff\xfe"],
}  # fmt: skip


def test_damaged_files_of_a_run_cost_no_training(tmp_path):
    found = package.run(package.compose(*TINY), tmp_path)
    for name, contents in DAMAGED.items():
        for content in contents:
            (tmp_path / name).unlink()
            if content is None:
                (tmp_path / name).mkdir()
            else:
                (tmp_path / name).write_bytes(content)
            again = package.run(package.compose(*TINY, f"trainer.resume={tmp_path}"), tmp_path)
            assert [row["value"] for row in again["estimates"]] == [row["value"] for row in found["estimates"]]
            if content is None:
                assert "writing the values of single examples failed" in (tmp_path / "run.log").read_text()
                (tmp_path / name).rmdir()
                (tmp_path / name).touch()
    with np.load(tmp_path / "values.npz") as values:
        assert len(values.files) > 0
