import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import dgm_run
from dgm_run.errors import CheckpointError
from dgm_run.recording.estimate_id import values_key
from dgm_run.runner.results import describe_merge, read, write, write_values
from tests.support.tiny import TINY


def test_results_describe_the_run(tmp_path):
    results = dgm_run.run(dgm_run.compose(*TINY, "seed=5"), tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert results["model"] == "VAE"
    assert results["dataset"] == "digits"
    assert results["seed"] == 5
    assert results["training"]["stopped_by"] == "max_epochs"
    assert results["training"]["steps"] == 3
    assert results["parameters"] == sum(p.numel() for p in dgm_run.load(tmp_path).model.parameters())
    for row in results["estimates"]:
        assert row["kind"] in ("exact", "lower_bound", "upper_bound", "estimate")
        assert row["split"] == "test"
        assert {"value", "stderr", "unit", "num_examples", "settings", "seconds", "estimator"} <= set(row)


ROW = {
    "split": "test", "quantity": "elbo", "estimator": "monte_carlo", "kind": "lower_bound", "unit": "nats",
    "value": -1.0, "stderr": None, "train_reference": None, "interval": None, "computing_interval": None,
    "num_examples": 3, "settings": {}, "diagnostics": {}, "warning": None,
}  # fmt: skip
WHOLE = {"preprocessing": "none", "estimates": [ROW], "training": {"steps": 3}, "failed_estimators": {}}


def test_whole_results_are_read(tmp_path):
    write(tmp_path / "results.json", WHOLE)
    assert read(tmp_path / "results.json") == WHOLE


def test_replaced_estimates_are_named():
    other = [ROW | {"quantity": name, "estimator": "exact"} for name in ("log_likelihood", "bits_per_dim")]
    path = Path("run/results.json")
    assert describe_merge([ROW], [ROW, *other], path) == [
        "replaced in run/results.json, same estimator and settings: elbo by monte_carlo",
        "added to run/results.json: log_likelihood, bits_per_dim by exact",
    ]
    assert describe_merge([], [ROW | {"settings": {"seed": 1}}], path) == [
        "added to run/results.json: elbo by monte_carlo"
    ]


DAMAGED = {
    "": "Expecting value",
    "null": "it holds no object",
    "[]": "it holds no object",
    "3": "it holds no object",
    "{}": "preprocessing is None",
    "[" * 100_000: "maximum recursion depth",
    "\x00": "Expecting value",
    "9" * 5000: "Exceeds the limit",
    **{json.dumps(WHOLE | change): message for change, message in [
        ({"estimates": None}, "estimates is None"),
        ({"estimates": {"a": 1}}, "estimates is {'a': 1}"),
        ({"estimates": [3]}, "an estimate is 3"),
        ({"estimates": [{}]}, "an estimate has no split"),
        ({"estimates": [ROW | {"value": "high"}]}, "value of an estimate is 'high'"),
        ({"estimates": [ROW | {"value": 10**400}]}, "value of an estimate is 1000"),
        ({"estimates": [ROW | {"stderr": []}]}, "stderr of an estimate is []"),
        ({"estimates": [ROW | {"settings": None}]}, "settings of an estimate is None"),
        ({"estimates": [ROW | {"diagnostics": {"ess": "x"}}]}, "diagnostics of an estimate is {'ess': 'x'}"),
        ({"estimates": [ROW | {"dataset": {"name": 1}}]}, "dataset of an estimate is {'name': 1}"),
        ({"estimates": [ROW | {"limits": [0]}]}, "limits of an estimate is [0]"),
        ({"training": [1]}, "training is [1]"),
        ({"training": {"steps": "3"}}, "training.steps is '3'"),
        ({"preprocessing": 3}, "preprocessing is 3"),
        ({"failed_estimators": {"ais": 3}}, "failed_estimators is {'ais': 3}"),
        ({"failed_estimators": ["ais"]}, "failed_estimators is ['ais']"),
    ]},
}  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: DAMAGED[text][:40])
def test_damaged_results_are_refused(text, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(CheckpointError) as refused:
        read(path)
    assert f"{path} cannot be read: {DAMAGED[text]}" in str(refused.value)
    assert str(refused.value).endswith(f"delete it, and evaluate again: dgm-run trainer.resume={tmp_path}")
    assert "\n" not in str(refused.value)


def test_results_that_no_file_refused(tmp_path):
    (tmp_path / "results.json").mkdir()
    with pytest.raises(CheckpointError, match="Is a directory"):
        read(tmp_path / "results.json")


NEW = {values_key(ROW | {"quantity": "kl"}): np.ones(3, np.float32)}


def damaged_values(folder):
    """Files that np.load fails at in different ways, by what is wrong with them."""
    whole = io.BytesIO()
    np.savez_compressed(whole, **{values_key(ROW): np.arange(500.0)})
    content = whole.getvalue()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (2**50,)}
    )  # fmt: skip
    vast = io.BytesIO()
    with zipfile.ZipFile(vast, "w") as file:
        file.writestr(f"{values_key(ROW)}.npy", header.getvalue())
    return {
        "empty": b"", "cut": content[: len(content) // 2], "no zip": b"no zip", "zeros": bytes(100),
        "torn": content[:60] + b"\xff" * 40 + content[100:], "vast": vast.getvalue(),
    }  # fmt: skip


@pytest.mark.parametrize("name", damaged_values(None))
def test_damaged_values_are_written_anew(name, tmp_path):
    path = tmp_path / "values.npz"
    path.write_bytes(damaged_values(tmp_path)[name])
    write_values(path, [ROW, ROW | {"quantity": "kl"}], NEW)
    with np.load(path) as found:
        assert list(found) == list(NEW)


def test_values_that_are_whole_are_kept(tmp_path):
    path = tmp_path / "values.npz"
    odd = values_key(ROW | {"quantity": "odd"})
    np.savez(path, **{values_key(ROW): np.arange(3.0), odd: np.array([object()]), "gone": np.ones(2)})
    write_values(path, [ROW, ROW | {"quantity": "kl"}, ROW | {"quantity": "odd"}], NEW)
    with np.load(path) as found:
        assert set(found) == {values_key(ROW), *NEW}
        assert found[values_key(ROW)].tolist() == [0.0, 1.0, 2.0]
    assert [file.name for file in tmp_path.iterdir()] == ["values.npz"]


def test_folder_in_place_of_values_reported(tmp_path):
    (tmp_path / "values.npz").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        write_values(tmp_path / "values.npz", [], NEW)
    assert [file.name for file in tmp_path.iterdir()] == ["values.npz"]


def test_a_reader_never_finds_half_a_file(tmp_path):
    path = tmp_path / "results.json"
    write(path, {"value": 1})
    with pytest.raises(TypeError):
        write(path, {"value": object()})
    assert json.loads(path.read_text()) == {"value": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]
