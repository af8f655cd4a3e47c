"""Draws and logs pictures of a model and its parts, and histograms of its weights."""

import numpy as np
import torch
from torch import Tensor

from dgm_run import rng
from dgm_run.data.dataset import DataDescription, LoadedDataset
from dgm_run.data.text import Sentences
from dgm_run.models.base import GenerativeModel
from dgm_run.recording.base import Log
from dgm_run.recording.grid_labels import add_signed_scale, colour_signed, draw_labelled_grid
from dgm_run.recording.image_grid import draw_grid, is_image
from dgm_run.recording.plots import plot_points
from dgm_run.runner.text_samples import draw_text, is_sentence_model
from dgm_run.runner.viewer import view_all

COLUMNS = 8
"""Number of images in a row."""
NUM_POINTS = 2000
"""Number of examples, and of samples, in a scatter plot of vectors."""


class Gallery:
    """Logs the pictures of `viewer.view_all`, samples of sentences, and histograms of the weights.

    Vectors of real numbers are drawn as points: the first two dimensions of examples and samples.

    Args:
        model: model to draw.
        data: data whose validation examples are shown.
        log: log that receives the pictures.
        seed: seed of the draws, which are the same at every call.
    """

    def __init__(self, model: GenerativeModel, data: LoadedDataset, log: Log, seed: int):
        self.model = model
        self.data = data
        self.log = log
        self.seed = seed

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
                self.log.picture(name, self._draw_grid(name, images), step, f"epoch_{epoch:04}.png")
        if _is_vector(self.data.dataset):
            x = self.data.valid.uncorrupted.batch(slice(0, NUM_POINTS))
            points = {"data": x, "samples": self.model.sample(len(x))}
            restore = self.data.dataset.preprocessing.restore
            points = {name: _drop_incomplete(restore(values)[:, :2]) for name, values in points.items()}
            if len(points["data"]):
                self.log.picture("samples_drawn", plot_points(points), step, f"epoch_{epoch:04}.png")
        if isinstance(self.data.valid, Sentences) and is_sentence_model(self.model):
            x = self.data.valid.batch(slice(0, 64))
            for name, lines in draw_text(self.model, x, self.data.valid.vocabulary).items():
                self.log.text(name, lines, step, f"epoch_{epoch:04}.txt")
        for name, parameter in self.model.named_parameters():
            self.log.histogram(f"weights/{name}", parameter, step)

    def _draw_grid(self, name: str, images: Tensor) -> np.ndarray:
        """Draws weights in colours with their scale, and images of data in grey with labels of their rows."""
        if name == "filters":
            return add_signed_scale(draw_grid(colour_signed(images), COLUMNS), "max |w|")
        return draw_labelled_grid(name, self.data.dataset.preprocessing.restore(images), COLUMNS)


def _drop_incomplete(points: Tensor) -> Tensor:
    return points[~points.isnan().any(1)]


def _is_vector(dataset: DataDescription) -> bool:
    return dataset.kind == "continuous" and len(dataset.shape) == 1 and dataset.shape[0] > 1
