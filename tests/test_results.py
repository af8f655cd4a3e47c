import json

import pytest
import torch
from tiny import TINY

import dgm_run
from dgm_run.results import environment, write


def test_results_carry_what_is_needed_to_read_the_numbers(tmp_path):
    results = dgm_run.run(dgm_run.compose(*TINY, "seed=5"), tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert results["model"] == "VAE"
    assert results["dataset"] == "digits"
    assert results["seed"] == 5
    assert results["training"]["stopped_by"] == "max_epochs"
    assert results["training"]["steps"] == 3
    assert results["parameters"] == sum(p.numel() for p in dgm_run.load(tmp_path).parameters())
    for row in results["estimates"]:
        assert row["kind"] in ("exact", "lower_bound", "upper_bound", "estimate")
        assert row["split"] == "test"
        assert {"value", "stderr", "unit", "num_examples", "settings", "seconds", "estimator"} <= set(row)


def test_the_environment_names_versions_and_device():
    found = environment(torch.device("cpu"))
    assert found["torch"] == torch.__version__
    assert found["device"] == "cpu"
    assert found["threads"] == torch.get_num_threads()


def test_a_reader_never_finds_half_a_file(tmp_path):
    path = tmp_path / "results.json"
    write(path, {"value": 1})
    with pytest.raises(TypeError):
        write(path, {"value": object()})
    assert json.loads(path.read_text()) == {"value": 1}
