"""The notebooks run from their first cell to their last, and print what is stored in them."""

import contextlib
import io
import json
import re
import sys
from pathlib import Path

import matplotlib as mpl
import pytest

from tests.support.readme import ROOT

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
SHORT = (("trainer.max_epochs=20", "trainer.max_epochs=1"), ("trainer.max_epochs=40", "trainer.max_epochs=1"))


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """Runs in a folder of its own, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    mpl.use("Agg")
    former = sys.modules.pop("mine", None)  # of another test
    yield
    sys.modules.pop("mine", None)
    if former:
        sys.modules["mine"] = former


def read_cells(path: Path) -> list[dict]:
    return [each for each in json.loads(path.read_text())["cells"] if each["cell_type"] == "code"]


def run_cells(path: Path, is_short: bool) -> list[str]:
    """Runs all cells; returns what each of them prints by itself."""
    names: dict = {}
    printed = []
    for cell in read_cells(path):
        code = "".join(cell["source"])
        for long, short in SHORT if is_short else ():
            code = code.replace(long, short)
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile(code, path.name, "exec"), names)  # the project's own text
        printed.append(output.getvalue())
    return printed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path):
    printed = run_cells(path, is_short=True)
    stored = [any(each["output_type"] == "stream" for each in cell["outputs"]) for cell in read_cells(path)]
    assert [bool(text) for text, is_stored in zip(printed, stored, strict=True) if is_stored] == [True] * sum(stored)
    assert sum(stored) >= 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_whole(path):
    assert len(NOTEBOOKS) == 3
    outputs = [output for cell in read_cells(path) for output in cell["outputs"]]
    assert any("image/png" in each.get("data", {}) for each in outputs)
    assert "error" not in {each["output_type"] for each in outputs}
    assert len(path.read_text()) < 60_000


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_numbers_are_those_stored(path):
    for cell, text in zip(read_cells(path), run_cells(path, is_short=False), strict=True):
        stored = "".join(part for each in cell["outputs"] if each["output_type"] == "stream" for part in each["text"])
        numbers = [[float(each) for each in re.findall(r"-?\d+\.\d+", found)] for found in (stored, text)]
        if stored:
            assert numbers[1] == pytest.approx(numbers[0], abs=0.15)  # processors round differently
