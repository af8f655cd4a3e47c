import torch
from torch import nn

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.runner.gallery import Gallery
from tests.support.tiny import TINY


class Recorder:
    """Stands in for the log."""

    def __init__(self):
        self.pictures, self.histograms = {}, []

    def picture(self, name, picture, step, file):
        self.pictures[name] = picture

    def histogram(self, name, values, step):
        self.histograms.append(name)


def gallery(*overrides):
    cfg = dgm_run.compose(*TINY, *overrides)
    model, data = instantiate(cfg.model), instantiate(cfg.dataset).load()
    log = Recorder()
    return Gallery(model, data, log, seed=0), model, log


def test_every_part_that_offers_pictures_is_drawn():
    draw, model, log = gallery("prior=vampprior")
    draw(step=3, epoch=1)
    assert set(log.pictures) == {"samples", "samples_drawn", "reconstructions", "pseudo_inputs"}
    assert log.histograms == [f"weights/{name}" for name, _ in model.named_parameters()]


def test_drawing_repeats_and_keeps_the_mode():
    draw, model, log = gallery()
    model.train()
    draw(1, 1)
    first = log.pictures["samples_drawn"].copy()
    torch.rand(5)
    draw(1, 1)
    assert model.training
    assert (log.pictures["samples_drawn"] == first).all()


def test_vectors_are_shown_as_points():
    draw, _, log = gallery("dataset=laplace_sources", "dataset.source.num_valid=50", "likelihood=gaussian")
    draw(1, 1)
    assert set(log.pictures) == {"samples_drawn"}
    assert len({tuple(pixel) for pixel in log.pictures["samples_drawn"].reshape(-1, 3)}) > 10


def test_vectors_have_histograms_only():
    draw, _, log = gallery()
    draw.data.dataset.shape = (64,)
    draw.model = nn.Linear(2, 2)
    draw(1, 1)
    assert log.pictures == {}
    assert log.histograms == ["weights/weight", "weights/bias"]
