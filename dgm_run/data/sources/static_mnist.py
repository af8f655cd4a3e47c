"""Static MNIST, binarised once by Larochelle: 50,000 / 10,000 / 10,000 images of 28x28.

H. Larochelle, I. Murray, The Neural Autoregressive Distribution Estimator, AISTATS 2011; bits drawn as in
R. Salakhutdinov, I. Murray, On the Quantitative Analysis of Deep Belief Networks, ICML 2008.
Its likelihoods differ by a nat or two from those under other draws: compare them only within this set.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dgm_run.data.download import RemoteFile, require
from dgm_run.data.split import RawSplit, RawSplits
from dgm_run.errors import DataError

ADDRESS = "https://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
CHECKSUMS = {  # from TensorFlow Datasets, https://www.tensorflow.org/datasets/catalog/binarized_mnist
    "train": "sha256:ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    "valid": "sha256:1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    "test": "sha256:e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
}
SIZES = {"train": 50_000, "valid": 10_000, "test": 10_000}


class StaticMNIST:
    """Static MNIST, from its three published files, without labels.

    Args:
        data_dir: folder that holds `static_mnist/binarized_mnist_{train,valid,test}.amat`.
        download: whether to download missing files.
    """

    def __init__(self, data_dir: str, download: bool):
        self.data_dir = data_dir
        self.download = download

    def __call__(self) -> RawSplits:
        names = {split: f"binarized_mnist_{split}.amat" for split in SIZES}
        files = [
            RemoteFile(f"static_mnist/{name}", ADDRESS + name, CHECKSUMS[split], max_bytes=80_000_000)
            for split, name in names.items()
        ]
        paths = require("static MNIST", self.data_dir, files, self.download)
        splits = {split: RawSplit(read_amat(path, SIZES[split])) for split, path in zip(SIZES, paths, strict=True)}
        return RawSplits(splits["train"], splits["valid"], splits["test"])


def read_amat(path: Path, num_images: int) -> Tensor:
    """Reads images (N, 1, 28, 28) of 0 and 1 from text: one image a line, digits separated by blanks.

    Raises:
        DataError: the file has other characters, or another number of pixels.
    """
    characters = np.fromfile(path, dtype=np.uint8)
    pixels = characters[characters > ord(" ")] - ord("0")  # a character below "0" wraps around to a large number
    if pixels.size and pixels.max() > 1:
        raise DataError(f"{path}: holds other characters than 0 and 1; remove it to fetch it again")
    if pixels.size != num_images * 784:
        found = f"{pixels.size} pixels instead of {num_images} x 784"
        raise DataError(f"{path}: has {found}; remove it to fetch it again")
    return torch.from_numpy(pixels.reshape(num_images, 1, 28, 28))
