"""Exports a trained model: encoder and decoder as programs of tensors, its weights, and a model card."""

import os
import shutil
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.data import preprocessing
from dgm_run.data.preprocessing import Preprocessing
from dgm_run.data.text import TextDataset
from dgm_run.errors import ConfigError, ResultsError
from dgm_run.models.base import LatentVariableModel, get_like
from dgm_run.models.latent.density_network import DensityNetwork
from dgm_run.models.linear.factor_analysis import FactorAnalysis
from dgm_run.report.runs import EXPORTED
from dgm_run.runner import results, run_folder
from dgm_run.runner.model_card import CARD, HEAD, write_model_card
from dgm_run.runner.trained_model import HasFeatures, TrainedModel

Format = Literal["onnx", "torch"]

TOLERANCE = 1e-5
"""Largest difference between a program and the model, relative to values above one."""
NUM_CHECKED = 16
"""Number of examples that the programs are checked on."""
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""Packages that writing and checking ONNX files needs."""


def export(
    run_dir: str | os.PathLike,
    file_format: Format,
    out: str | os.PathLike | None = None,
    packages: Sequence[str] = (),
) -> Path:
    """Exports the trained model of a run into a folder that needs no dgm-run, and that a hub of models takes.

    The folder holds the programs `encoder` (x -> mean of q(z | x), or means of hidden units) and `decoder` (z -> mean
    of p(x | z)), as far as the model has these means in closed form; the weights; the results; and the card README.md.
    `load` reads it like a run. Examples are in the units of the data; where they are binarised, they are bits.

    Args:
        run_dir: folder of a finished run.
        file_format: onnx (.onnx, checked by ONNX Runtime) | torch (.pt2, for `torch.export.load`).
        out: folder to write; None for `export/FORMAT` in the folder of the run.
        packages: further packages that the model may be built from, as for `load`.

    Returns:
        The folder.

    Raises:
        ConfigError: the model has no such mean, or a package is missing.
        CheckpointError: the folder holds no finished run.
        ResultsError: a program differs from the model.
    """
    if file_format not in ("onnx", "torch"):
        raise ConfigError(f"file_format = {file_format!r}: choose 'onnx' or 'torch'")
    lacking = [name for name in ONNX_PACKAGES if file_format == "onnx" and find_spec(name) is None]
    if lacking:
        raise ConfigError(f"export: {', '.join(lacking)} is not installed: pip install 'dgm-run[onnx]'")
    source = Path(run_dir)
    contents = results.read(source / "results.json")
    model = run_folder.load(source, packages)
    programs = _list_programs(model)
    folder = Path(out).resolve() if out is not None else source / EXPORTED / file_format
    _refuse_other_contents(folder, source)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    try:
        write = _write_onnx if file_format == "onnx" else _write_torch
        for name, (program, inputs, expected) in programs.items():
            found = write(program, inputs, temporary / name)
            _refuse_difference(name, found, expected)
        _copy_run(source, temporary)
        write_model_card(temporary, contents, run_folder.load_config(source), file_format, list(programs))
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _refuse_other_contents(folder: Path, source: Path) -> None:
    """Refuses a folder that holds anything but a former export, or that lies in the checkpoints of the run."""
    if (source / "checkpoints").resolve() in folder.parents:
        raise ConfigError(f"export: {folder} lies in the checkpoints of the run: name a new folder: out=FOLDER")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    card = folder / CARD
    if not card.is_file() or not card.read_text(encoding="utf-8", errors="replace").startswith(HEAD):
        raise ConfigError(f"export: {folder} is there and holds no exported model: name a new folder: out=FOLDER")


class _Encoder(nn.Module):
    """Program from x to the mean of q(z | x), or to the means of the hidden units."""

    def __init__(self, model: nn.Module, units: Preprocessing):
        super().__init__()
        self.model = model
        self.units = units

    def forward(self, x: Tensor) -> Tensor:
        if self.units.standardization is not None:
            x = self.units.standardization(x).to(x.dtype)
        model: Any = self.model
        return model.features(x) if isinstance(model, HasFeatures) else model.infer(x).mean


class _LinearPosterior(nn.Module):
    """Posterior means of factor analysis, whose factorization a program need not repeat."""

    def __init__(self, model: FactorAnalysis):
        super().__init__()
        with torch.no_grad():
            scaled, precision = model.density.latent_precision()
            self.weight = torch.linalg.solve(precision, scaled.T).T  # (D, L)
            self.bias = model.density.bias

    def features(self, x: Tensor) -> Tensor:
        return ((x.double().flatten(1) - self.bias) @ self.weight).to(x.dtype)


class _Decoder(nn.Module):
    """Program from z to the mean of p(x | z)."""

    def __init__(self, model: LatentVariableModel, units: Preprocessing):
        super().__init__()
        self.model = model
        self.units = units

    def forward(self, z: Tensor) -> Tensor:
        return self.units.restore(self.model.decode(z).mean).to(z.dtype)


def _list_programs(trained: TrainedModel) -> dict[str, tuple[nn.Module, Tensor, Tensor]]:
    """Lists the programs of a model by name, each with inputs and with the outputs of the model itself."""
    model = trained.complete_model
    if isinstance(trained.dataset, TextDataset):
        raise ConfigError("export: models of sentences are not exported: a program takes and returns real numbers")
    units = trained.preprocessing
    candidates: dict[str, tuple[nn.Module, Tensor, Callable[[Tensor], Tensor]]] = {}
    if isinstance(model, HasFeatures | LatentVariableModel) and not isinstance(model, DensityNetwork):
        x = trained.sample(NUM_CHECKED, seed=0).to(get_like(model))
        is_level = trained.dataset.num_levels is not None
        encoder = _LinearPosterior(model) if isinstance(model, FactorAnalysis) else model
        candidates["encoder"] = (_Encoder(encoder, units), x.clamp(0, 1) if is_level else x, trained.encode)
    if isinstance(model, LatentVariableModel):
        rng.reseed(0, "export")
        candidates["decoder"] = (_Decoder(model, units), model.latent_prior().sample((NUM_CHECKED,)), trained.decode)
    programs = {}
    for name, (program, inputs, compute) in candidates.items():
        expected = compute(inputs)
        if torch.equal(expected, compute(inputs)):  # else it is estimated from samples, and a program draws none
            programs[name] = (program, inputs, expected)
    if not programs:
        raise ConfigError(f"export: {type(model).__name__} has no mean of q(z | x) or p(x | z) in closed form")
    return programs


def _refuse_difference(name: str, found: Tensor, expected: Tensor) -> None:
    difference = ((found.double() - expected.double()).abs() / expected.double().abs().clamp(min=1)).max().item()
    if not difference <= TOLERANCE:
        raise ResultsError(f"export: the program {name} differs from the model by {difference:.2g}: do not use it")


def _trace(program: nn.Module, inputs: Tensor) -> torch.export.ExportedProgram:
    """Traces a program for any number of examples."""
    checks = torch.distributions.Distribution._validate_args  # they look at values, which a program does not know
    torch.distributions.Distribution.set_default_validate_args(False)
    try:
        with torch.no_grad():
            return torch.export.export(program, (inputs,), dynamic_shapes=({0: torch.export.Dim("n")},))
    finally:
        torch.distributions.Distribution.set_default_validate_args(checks)


def _write_torch(program: nn.Module, inputs: Tensor, path: Path) -> Tensor:
    """Writes a program for `torch.export.load`, and returns its outputs."""
    file = path.with_suffix(".pt2")
    torch.export.save(_trace(program, inputs), file)
    return torch.export.load(file).module()(inputs)


def _write_onnx(program: nn.Module, inputs: Tensor, path: Path) -> Tensor:
    """Writes a program in ONNX, and returns its outputs by ONNX Runtime."""
    import onnxruntime

    file = path.with_suffix(".onnx")
    names = ("x", "mean_of_z") if path.name == "encoder" else ("z", "mean_of_x")
    exported = torch.onnx.export(
        _trace(program, inputs), (), input_names=[names[0]], output_names=[names[1]], dynamo=True, verbose=False
    )
    assert exported is not None
    exported.save(file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
    return torch.from_numpy(outputs)


def _copy_run(source: Path, folder: Path) -> None:
    """Copies what `load` reads of a run, and its results."""
    for name in (".hydra/config.yaml", preprocessing.FILE, "results.json"):
        if (source / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, folder / name)
    shutil.copytree(source / "checkpoints" / "best", folder / "checkpoints" / "best")
