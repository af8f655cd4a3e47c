"""Omniglot for density estimation: handwritten characters of fifty alphabets, scaled down to 28x28.

Characters: B. Lake, R. Salakhutdinov, J. Tenenbaum, Science 350, 2015. File and split, 24,345 / 8,070 images:
Y. Burda, R. Grosse, R. Salakhutdinov, Importance Weighted Autoencoders, 2015, https://arxiv.org/abs/1509.00519.
torchvision's Omniglot is another set: 105x105 pixels and split by alphabet.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dgm_run.data.download import RemoteFile, require
from dgm_run.data.mat_file import read_mat
from dgm_run.data.split import RawSplit, RawSplits, split_examples
from dgm_run.errors import DataError

FILE = RemoteFile(
    "omniglot/chardata.mat",
    "https://github.com/yburda/iwae/raw/master/datasets/OMNIGLOT/chardata.mat",
    checksum=None,
    max_bytes=200_000_000,
)


class Omniglot:
    """Omniglot as 256 levels, with the last `num_valid` of the shuffled training images for validation.

    Args:
        data_dir: folder that holds `omniglot/chardata.mat`.
        num_valid: images for validation; 1,345 in Tomczak & Welling 2018, https://arxiv.org/abs/1705.07120, without a
            seed.
        split_seed: seed of the shuffle of the training images.
        download: whether to download a missing file.
    """

    def __init__(self, data_dir: str, num_valid: int, split_seed: int, download: bool):
        self.data_dir = data_dir
        self.download = download
        self.num_valid = num_valid
        self.split_seed = split_seed

    def __call__(self) -> RawSplits:
        (path,) = require("Omniglot", self.data_dir, [FILE], self.download)
        train, test = read_mat(path, ["data", "testdata"])
        x = _to_levels(train, path)
        x_test = _to_levels(test, path)
        x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(self.split_seed))]
        return replace(split_examples(x, None, self.num_valid, 0), test=RawSplit(x_test))


def _to_levels(columns: np.ndarray, path: Path) -> Tensor:
    """Converts intensities (784, N), each image column by column, to levels (N, 1, 28, 28)."""
    if columns.shape[0] != 784 or not ((columns >= 0) & (columns <= 1)).all():
        raise DataError(f"{path}: holds no 784 x N intensities from 0 to 1; remove it to fetch it again")
    levels = np.rint(255 * columns.T).astype(np.uint8)  # moves a probability by 1/510 at most
    return torch.from_numpy(levels).reshape(-1, 1, 28, 28).mT.contiguous()
