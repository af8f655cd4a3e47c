"""Logs pictures of a model and histograms of its weights."""

import torch
from torch import Tensor

from dgm_run import rng
from dgm_run.data.dataset import DataDescription, LoadedDataset
from dgm_run.data.text import Sentences
from dgm_run.models.base import GenerativeModel
from dgm_run.recording.image_grid import grid, is_image
from dgm_run.recording.log import RunLog
from dgm_run.recording.plots import scatter
from dgm_run.runner.text_samples import is_of_sentences, read
from dgm_run.runner.viewer import view_all

POINTS = 2000
"""Examples, and as many samples, of which two dimensions are shown where they are no images."""


class Gallery:
    """Logs the pictures of `viewer.view_all`, samples of sentences, and histograms of the weights.

    Vectors of real numbers are shown as points: their first two dimensions, of examples and of samples.

    Args:
        model: the model.
        data: pictures are made of its validation examples.
        log: receives the pictures.
        seed: of the draws, which are the same at every call and disturb no other random numbers.
    """

    def __init__(self, model: GenerativeModel, data: LoadedDataset, log: RunLog, seed: int):
        self.model, self.data, self.log, self.seed = model, data, log, seed

    @torch.no_grad()
    def __call__(self, step: int, epoch: int) -> None:
        was_training = self.model.training
        self.model.eval()
        try:
            rng.reseed(self.seed, "pictures")
            self._draw(step, epoch)
        finally:
            self.model.train(was_training)

    def _draw(self, step: int, epoch: int) -> None:
        if is_image(self.data.dataset.shape):
            x = self.data.valid.batch(slice(0, 64))
            for name, images in view_all(self.model, x).items():
                shown = images if name == "filters" else self.data.dataset.preprocessing.restore(images)
                self.log.picture(name, grid(shown, columns=8), step, f"epoch_{epoch:04}.png")
        if _is_vector(self.data.dataset):
            x = self.data.valid.uncorrupted.batch(slice(0, POINTS))
            points = {"data": x, "samples": self.model.sample(len(x))}
            restore = self.data.dataset.preprocessing.restore
            points = {name: _complete(restore(values)[:, :2]) for name, values in points.items()}
            if len(points["data"]):
                self.log.picture("samples_drawn", scatter(points), step, f"epoch_{epoch:04}.png")
        if isinstance(self.data.valid, Sentences) and is_of_sentences(self.model):
            x = self.data.valid.batch(slice(0, 64))
            for name, lines in read(self.model, x, self.data.valid.vocabulary).items():
                self.log.text(name, lines, step, f"epoch_{epoch:04}.txt")
        for name, parameter in self.model.named_parameters():
            self.log.histogram(f"weights/{name}", parameter, step)


def _complete(points: Tensor) -> Tensor:
    return points[~points.isnan().any(1)]


def _is_vector(protocol: DataDescription) -> bool:
    return protocol.kind == "continuous" and len(protocol.shape) == 1 and protocol.shape[0] > 1
