import json
import math
import os
import subprocess
from pathlib import Path

import pytest
import torch

from benchmarks import check, data, ours, resume
from benchmarks.table import Options

GPU_SCRIPT = Path(resume.__file__).parent / "gpu.sh"
OPTIONS = Options(device=torch.device("cpu"), rounds=1, effort=1.0, compile=False, pythae=False)


@pytest.fixture
def images(monkeypatch, tmp_path):
    monkeypatch.setenv("DGM_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(data, "NUM_TRAIN", 250)
    return data.load(OPTIONS.device)


def test_random_images_stand_in_for_mnist(images):
    x = images.train.batch(torch.arange(250))
    assert x.shape == (250, *data.SHAPE)
    assert x.mean().item() == pytest.approx(data.INK, abs=0.01)  # its standard error is 0.0008


@pytest.mark.parametrize("loop", [ours.trainer_loop, ours.bare_loop])
def test_a_loop_takes_its_steps(loop, images, monkeypatch):
    steps = []
    adam = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda *args, **kwargs: steps.append(adam(*args, **kwargs)))
    run = loop(images, OPTIONS, 2, "trainer.threads=1")
    run()
    assert len(steps) == 2


@pytest.mark.parametrize(("arguments", "message"), [(["d"], "d: choose from a b c"), ([], "--out FOLDER is missing")])
def test_gpu_script_names_what_it_takes(arguments, message):
    done = subprocess.run([GPU_SCRIPT, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


@pytest.mark.parametrize(("status", "message"), [(3, "c: ended with status 3"), (0, "== c")])
def test_gpu_script_fails_with_a_part(status, message, tmp_path):
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\nexit {status}\n")
    python.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    command = [GPU_SCRIPT, "c", "--out", tmp_path / "out"]
    done = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == (1 if status else 0)
    assert done.stdout.splitlines()[-1] == message


@pytest.mark.parametrize(
    ("a", "b", "difference"),
    [
        (1.0, 3.0, 2.0),
        (math.nan, math.nan, 0.0),
        (math.inf, math.inf, 0.0),
        (1.0, math.nan, math.inf),
        (1.0, math.inf, math.inf),
    ],
)
def test_nan_differs_from_a_number(a, b, difference):
    assert resume.measure_difference(a, b) == resume.measure_difference(b, a) == difference


def test_runs_are_compared_value_by_value(tmp_path, monkeypatch):
    def start(folder, overrides):
        shift = 0.5 if "trainer.resume=auto" in overrides else 0.0
        (folder / "checkpoints" / "last").mkdir(parents=True, exist_ok=True)
        lines = [{"step": step, "name": "a", "value": step + shift * (step == 2)} for step in (1, 2)]
        (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        return subprocess.Popen(["true"])

    monkeypatch.setattr(resume, "_start", start)
    assert resume.compare(tmp_path, ()) == ("2 of 2 values", "no", "0.5")


def test_check_reports_lines_that_became_slower(monkeypatch, tmp_path):
    monkeypatch.setattr(check, "SAVED", tmp_path / "ratios.json")
    line, peer = {"of products": 0.8, "x pythae": 1.5}, {"of products": 0.2}
    check.save({"vae": {"dgm-run": line, "pythae 0.1.2": peer}})
    assert check.find_slower({"vae": {"dgm-run": {"of products": 0.7, "x pythae": 0.1}}}) == []
    slower = check.find_slower({"vae": {"dgm-run": {"of products": 0.6}, "pythae 0.1.2": {"of products": 0.01}}})
    assert slower == ["vae, dgm-run, of products: 0.60, saved 0.80"]
    check.save({"cd-1": {"dgm-run": line}})
    assert len(check.read_saved()) == 2
    with pytest.raises(ValueError, match="no line of this run has a saved ratio"):
        check.find_slower({"startup": {}})
