"""CIFAR-10: 60,000 colour photographs of 32x32 in ten classes, from the binary archive, which needs no pickle.

A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009,
https://www.cs.toronto.edu/~kriz/cifar.html
"""

import os
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from dgm_run.data.download import RemoteFile, format_error, require
from dgm_run.data.split import RawSplit, RawSplits, split_examples
from dgm_run.errors import DataError

ARCHIVE = RemoteFile(
    "cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    max_bytes=180_000_000,
)
FOLDER = "cifar-10-batches-bin"
BATCHES = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
BATCH_SIZE = 10_000
PIXELS = 3 * 32 * 32


class CIFAR10:
    """CIFAR-10. The last `num_valid` of the 50,000 training images, which have a random order, are for validation.

    Args:
        data_dir: folder that holds `cifar-10-batches-bin/` or the archive.
        num_valid: images of the training set kept for validation.
        download: whether to download the archive if neither is there.
    """

    def __init__(self, data_dir: str, num_valid: int, download: bool):
        self.data_dir = data_dir
        self.num_valid = num_valid
        self.download = download

    def __call__(self) -> RawSplits:
        folder = Path(self.data_dir).expanduser().resolve() / FOLDER
        if not all((folder / name).is_file() for name in BATCHES):
            (archive,) = require("CIFAR-10", self.data_dir, [ARCHIVE], self.download)
            _unpack(archive, folder)
        *train, test = [_read(folder / name) for name in BATCHES]
        x = torch.cat([x for x, _ in train])
        y = torch.cat([y for _, y in train])
        return replace(split_examples(x, y, self.num_valid, 0), test=RawSplit(*test))


def _unpack(archive: Path, folder: Path) -> None:
    """Extracts beside `folder`, then moves the batches in, so that each is there whole or not at all."""
    try:
        with TemporaryDirectory(dir=archive.parent, prefix=".incomplete-") as staging:
            with tarfile.open(archive) as tar:
                tar.extractall(staging, filter="data")
            folder.mkdir(exist_ok=True)
            for name in BATCHES:
                os.replace(Path(staging) / FOLDER / name, folder / name)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        reason = format_error(error)
        raise DataError(f"{archive}: cannot be unpacked ({reason}); remove it to fetch it again") from None


def _read(path: Path) -> tuple[Tensor, Tensor]:
    """Reads a batch: records of a byte of label, then 1,024 bytes each of red, green and blue, row by row."""
    data = np.fromfile(path, dtype=np.uint8)
    expected = BATCH_SIZE * (1 + PIXELS)
    if data.size != expected:
        raise DataError(f"{path}: has {data.size} bytes instead of {expected}; remove it to unpack it again")
    records = torch.from_numpy(data.reshape(BATCH_SIZE, 1 + PIXELS))
    if records[:, 0].max() > 9:
        raise DataError(f"{path}: has labels beyond 9; remove it to unpack it again")
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].long()
