"""Model card: its head, its numbers, and the code that it shows."""

import json

import pytest
import yaml

import dgm_run
from tests.support.tiny import TINY


@pytest.mark.parametrize(("file_format", "file"), [("torch", "encoder.pt2"), ("onnx", "encoder.onnx")])
def test_card_states_what_a_reader_needs(file_format, file, tmp_path):
    if file_format == "onnx":
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    results = dgm_run.run(dgm_run.compose(*TINY), tmp_path)
    folder = dgm_run.export(tmp_path, file_format)
    _, head, text = (folder / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head)["datasets"] == ["digits"]
    assert results["preprocessing"] in text
    assert f"| {file} | x (N, 1, 8, 8) -> mean of q(z \\| x) |" in text
    for row in results["estimates"]:
        (line,) = [each for each in text.splitlines() if each.startswith(f"| {row['quantity']} |")]
        cells = [each.strip() for each in line.strip("|").split("|")]
        assert float(cells[1]) == pytest.approx(row["value"], abs=0.006)
        assert cells[5] == row["kind"].replace("_", " ")
        assert row["stderr"] is None or float(cells[2]) == pytest.approx(row["stderr"], rel=0.01)


def test_code_of_the_card_runs(tmp_path, monkeypatch):
    import torch

    dgm_run.run(dgm_run.compose(*TINY), tmp_path)
    folder = dgm_run.export(tmp_path, "torch")
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(folder)
    names = {"torch": torch, "tensor": torch.zeros(3, 1, 8, 8)}
    exec(compile(code, "README.md", "exec"), names)  # the project's own text
    assert names["values"].shape == (3, 2)
    assert json.loads((folder / "results.json").read_text())["model"] == "VAE"


def test_card_leaves_out_numbers_of_other_data(tmp_path):
    dgm_run.run(dgm_run.compose(*TINY), tmp_path)
    path = tmp_path / "results.json"
    contents = json.loads(path.read_text())
    other = {"name": "b", "preprocessing": "none", "settings": {}}
    contents["estimates"] += [row | {"value": -1234.5, "dataset": other} for row in contents["estimates"]]
    path.write_text(json.dumps(contents))
    assert "-1234.5" not in (dgm_run.export(tmp_path, "torch") / "README.md").read_text()
