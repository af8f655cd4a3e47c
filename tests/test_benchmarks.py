import pytest
import torch

from benchmarks import data, ours
from benchmarks.table import Options

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
