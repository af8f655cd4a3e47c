"""Exported programs: against the model, without dgm-run, and through ONNX Runtime."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import dgm_run
from dgm_run.errors import CheckpointError, ConfigError, ResultsError
from dgm_run.report.runs import collect_runs
from dgm_run.runner import export as exporting
from tests.support.tiny import SHORT, TINY, TINY_DENSITY, TINY_ENERGY, TINY_EXACT, TINY_GAN, TINY_SENTENCE_VAE

FEW = "estimators.importance_sampling.num_samples=2"
MODELS = {
    "vae": (TINY, {"encoder", "decoder"}),
    "vampprior": ((*TINY, "prior=vampprior"), {"encoder", "decoder"}),
    "conv": ((*SHORT, "encoder=conv", "decoder=conv", FEW), {"encoder", "decoder"}),
    "pixelcnn": ((*SHORT, "decoder=pixelcnn", "decoder.network.channels=4", FEW), {"encoder"}),
    "iaf": ((*TINY, "posterior=iaf", "posterior.hidden_dims=[8]"), {"decoder"}),
    "table": ((*SHORT, "trainer.batch_size=40", "dataset=wine", "encoder=table", "likelihood=mixed", FEW), None),
    "vectors": ((*TINY, "dataset=gaussian_mixture", "dataset.standardize=columns", "likelihood=gaussian"), None),
    "factor_analysis": (TINY_EXACT, {"encoder", "decoder"}),
    "rbm": ((*TINY_ENERGY, "dataset=bars_and_stripes"), {"encoder"}),
    "gan": (TINY_GAN, {"decoder"}),
    "density_network": (TINY_DENSITY, {"decoder"}),
}
LOAD_ELSEWHERE = """
import sys, torch
program = torch.export.load(sys.argv[1] + ".pt2").module()
torch.save(program(torch.load(sys.argv[1] + ".inputs")), sys.argv[1] + ".outputs")
assert "dgm_run" not in sys.modules
"""


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae")
    dgm_run.run(dgm_run.compose(*TINY), folder)
    return folder


def draw_inputs(run: Path, num: int) -> dict[str, torch.Tensor]:
    model = dgm_run.load(run)
    inputs = {"decoder": torch.randn(num, 2, generator=torch.Generator().manual_seed(1))}
    return inputs | {"encoder": model.sample(num, seed=1).float()}


def compute(run: Path, name: str, inputs: torch.Tensor) -> torch.Tensor:
    model = dgm_run.load(run)
    return (model.encode if name == "encoder" else model.decode)(inputs)


@pytest.mark.parametrize("name", ["encoder", "decoder"])
def test_program_needs_no_dgm_run(vae, name, tmp_path):
    folder = dgm_run.export(vae, "torch", tmp_path / "out")
    inputs = draw_inputs(vae, 7)[name]
    torch.save(inputs, folder / f"{name}.inputs")
    arguments = [sys.executable, "-I", "-c", LOAD_ELSEWHERE, str(folder / name)]
    subprocess.run(arguments, check=True, cwd="/", timeout=120)
    torch.testing.assert_close(torch.load(folder / f"{name}.outputs"), compute(vae, name, inputs), atol=1e-6, rtol=1e-5)


def test_onnx_takes_any_number_of_examples(vae):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    folder = dgm_run.export(vae, "onnx")
    assert folder == vae / "export" / "onnx"
    for name, key in (("encoder", "x"), ("decoder", "z")):
        session = onnxruntime.InferenceSession(folder / f"{name}.onnx")
        for num in (1, 3, 40):
            inputs = draw_inputs(vae, num)[name]
            (found,) = session.run(None, {key: inputs.numpy()})
            np.testing.assert_allclose(found, compute(vae, name, inputs), atol=1e-5, rtol=1e-5)


def test_folder_loads_like_a_run(vae, tmp_path):
    folder = dgm_run.export(vae, "torch", tmp_path / "out")
    x = draw_inputs(vae, 3)["encoder"]
    copy = dgm_run.load(folder)
    assert torch.equal(copy.log_likelihood(x).values, dgm_run.load(vae).log_likelihood(x).values)


def test_exported_copy_is_no_run_of_the_report(vae):
    dgm_run.export(vae, "torch")
    assert [run.path for run in collect_runs(vae.parent)].count(vae) == 1
    assert not [run for run in collect_runs(vae.parent) if "export" in run.path.parts]


def test_program_that_differs_is_refused(vae, tmp_path, monkeypatch):
    compute_right = exporting._Decoder.forward
    monkeypatch.setattr(exporting._Decoder, "forward", lambda self, z: compute_right(self, z) + 1e-4)
    with pytest.raises(ResultsError, match="decoder differs from the model by 0.0001"):
        dgm_run.export(vae, "torch", tmp_path / "out")


@pytest.mark.parametrize("name", ["run", "notes", "file"])
def test_other_contents_are_kept(vae, name, tmp_path):
    place = {"run": vae, "notes": tmp_path / "notes", "file": tmp_path / "file"}[name]
    if name == "notes":
        place.mkdir()
        (place / "README.md").write_text("my notes")
    if name == "file":
        place.write_text("mine")
    before = {path: path.read_bytes() for path in [place, *place.rglob("*")] if path.is_file()}
    with pytest.raises(ConfigError, match="holds no exported model"):
        dgm_run.export(vae, "torch", place)
    assert {path: path.read_bytes() for path in [place, *place.rglob("*")] if path.is_file()} == before


def test_former_export_is_replaced(vae, tmp_path):
    dgm_run.run(dgm_run.compose(*TINY_ENERGY, "dataset=bars_and_stripes"), tmp_path / "rbm")
    dgm_run.export(vae, "torch", tmp_path / "out")
    assert (dgm_run.export(vae, "torch", tmp_path / "out") / "decoder.pt2").exists()
    assert not (dgm_run.export(tmp_path / "rbm", "torch", tmp_path / "out") / "decoder.pt2").exists()


def test_failed_export_leaves_nothing(vae, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "TOLERANCE", -1.0)
    with pytest.raises(ResultsError):
        dgm_run.export(vae, "torch", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_are_no_place(vae):
    with pytest.raises(ConfigError, match="lies in the checkpoints"):
        dgm_run.export(vae, "torch", vae / "checkpoints" / "best" / "x")


def test_unknown_format_is_refused(vae):
    with pytest.raises(ConfigError, match="choose 'onnx' or 'torch'"):
        dgm_run.export(vae, "tf")


def test_missing_package_is_named(vae, monkeypatch):
    monkeypatch.setattr(exporting, "find_spec", lambda name: None if name == "onnxruntime" else True)
    with pytest.raises(ConfigError, match=r"onnxruntime is not installed: pip install 'dgm-run\[onnx\]'"):
        dgm_run.export(vae, "onnx")


def test_unfinished_run_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="it is no run that can be used"):
        dgm_run.export(tmp_path, "torch")


@pytest.mark.parametrize("overrides", [TINY_SENTENCE_VAE, ("model=autoregressive", *SHORT)], ids=["text", "exact"])
def test_model_without_programs_is_refused(overrides, tmp_path):
    dgm_run.run(dgm_run.compose(*overrides), tmp_path)
    with pytest.raises(ConfigError, match="models of sentences are not exported|has no mean"):
        dgm_run.export(tmp_path, "torch")


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["torch", "onnx"])
@pytest.mark.parametrize("name", MODELS)
def test_programs_of_a_model(name, file_format, tmp_path):
    """The export compares each program with the model; without its check this one would have to."""
    overrides, programs = MODELS[name]
    dgm_run.run(dgm_run.compose(*overrides), tmp_path)
    folder = dgm_run.export(tmp_path, file_format)
    ending = {"torch": ".pt2", "onnx": ".onnx"}[file_format]
    assert {path.stem for path in folder.glob(f"*{ending}")} == (programs or {"encoder", "decoder"})
