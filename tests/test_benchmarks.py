import json
import subprocess
from pathlib import Path

import pytest
import torch

from benchmarks import data, ours, resume
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


def test_runs_are_compared_value_by_value(tmp_path, monkeypatch):
    def start(folder, overrides):
        shift = 0.5 if "trainer.resume=auto" in overrides else 0.0
        (folder / "checkpoints" / "last").mkdir(parents=True, exist_ok=True)
        lines = [{"step": step, "name": "a", "value": step + shift * (step == 2)} for step in (1, 2)]
        (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        return subprocess.Popen(["true"])

    monkeypatch.setattr(resume, "_start", start)
    assert resume.compare(tmp_path, ()) == ("2 of 2 values", "no", "0.5")
