"""The images that everything is measured on: MNIST where it is at hand, else random ones of its shape."""

import os
from pathlib import Path

import torch

from dgm_run.config.compose import compose, instantiate
from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import Dataset, LoadedDataset
from dgm_run.data.split import RawSplit, RawSplits

SHAPE = (1, 28, 28)
NUM_TRAIN = 50_000
INK = 0.13
"""The mean intensity of MNIST."""


def mnist_folder() -> Path | None:
    """The folder that holds torchvision's MNIST, or None."""
    folder = Path(os.environ.get("DGM_DATA_DIR", "data"))
    return folder if (folder / "MNIST" / "raw").is_dir() else None


def load(device: torch.device, *overrides: str) -> LoadedDataset:
    """50,000 training images, binarised anew for every batch; one image for validation, which is not measured."""
    dataset = instantiate(compose("dataset=mnist", *overrides).dataset) if mnist_folder() else _synthetic()
    data = dataset.load(device)
    return LoadedDataset(dataset, data.train, DataSplit(data.valid.x[:1], None, data.valid.prepare), data.test)


def _synthetic() -> Dataset:
    return Dataset(_random_images, "synthetic", SHAPE, 256, "dynamic", False, 777, None, None, 0, None, None, 0, None)


def _random_images() -> RawSplits:
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> RawSplit:
        return RawSplit(255 * (torch.rand(count, *SHAPE, generator=generator) < INK).to(torch.uint8))

    return RawSplits(images(NUM_TRAIN), images(1), images(100))
