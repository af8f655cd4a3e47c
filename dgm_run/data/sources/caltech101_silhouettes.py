"""Caltech 101 silhouettes: 4,100 / 2,264 / 2,307 binary shapes of 28x28, white on black, in 101 classes.

B. Marlin, K. Swersky, B. Chen, N. de Freitas, Inductive Principles for Restricted Boltzmann Machine Learning,
AISTATS 2010, https://people.cs.umass.edu/~marlin/data.shtml
"""

from pathlib import Path

import numpy as np
import torch

from dgm_run.data.download import RemoteFile, require
from dgm_run.data.mat_file import read_mat
from dgm_run.data.split import RawSplit, RawSplits
from dgm_run.errors import DataError

FILE = RemoteFile(
    "caltech101_silhouettes/caltech101_silhouettes_28_split1.mat",
    "https://people.cs.umass.edu/~marlin/data/caltech101_silhouettes_28_split1.mat",
    checksum=None,
    max_bytes=50_000_000,
)


class Caltech101Silhouettes:
    """Caltech 101 silhouettes in the split of their authors.

    Args:
        data_dir: folder that holds `caltech101_silhouettes/caltech101_silhouettes_28_split1.mat`.
        download: whether to download a missing file.
    """

    def __init__(self, data_dir: str, download: bool):
        self.data_dir = data_dir
        self.download = download

    def __call__(self) -> RawSplits:
        (path,) = require("Caltech 101 silhouettes", self.data_dir, [FILE], self.download)
        return RawSplits(train=_read(path, "train"), valid=_read(path, "val"), test=_read(path, "test"))


def _read(path: Path, split: str) -> RawSplit:
    rows, labels = read_mat(path, [f"{split}_data", f"{split}_labels"])
    if rows.ndim != 2 or rows.shape[1] != 784 or not np.isin(rows, (0, 1)).all():
        raise DataError(f"{path}: {split}_data is no N x 784 array of 0 and 1; remove it to fetch it again")
    background = torch.from_numpy(rows.astype(np.uint8)).reshape(-1, 1, 28, 28).mT  # stored column by column
    classes = torch.from_numpy(labels.ravel().astype(np.int64)) - 1  # MATLAB counts from 1
    return RawSplit((1 - background).contiguous(), classes)  # stored inverted
