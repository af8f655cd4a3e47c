"""MNIST and its drop-in replacements, read through torchvision: 60,000 + 10,000 images of 28x28.

MNIST: LeCun, Cortes, Burges. FashionMNIST: Xiao et al. 2017, https://arxiv.org/abs/1708.07747.
KMNIST: Clanuwat et al. 2018, https://arxiv.org/abs/1812.01718.
The last `num_valid` training images are the validation set, as in Burda et al. and Tomczak & Welling.
"""

from dataclasses import replace
from typing import Literal

from torch import Tensor

from dgm_run.data.download import load_torchvision
from dgm_run.data.split import RawSplit, RawSplits, split_examples


class MNIST:
    """Data set of the MNIST family.

    Args:
        data_dir: folder that holds, or will hold, the data set's folder.
        name: name of its torchvision class.
        num_valid: training images for validation.
        inverted: whether black and white are exchanged.
        download: whether to download missing files.
    """

    def __init__(
        self,
        data_dir: str,
        name: Literal["MNIST", "FashionMNIST", "KMNIST"],
        num_valid: int,
        inverted: bool,
        download: bool,
    ):
        self.data_dir = data_dir
        self.name = name
        self.num_valid = num_valid
        self.inverted = inverted
        self.download = download

    def __call__(self) -> RawSplits:
        train, test = load_torchvision(self.name, self.data_dir, self.download)
        splits = split_examples(self._to_images(train.data), train.targets, self.num_valid, 0)
        return replace(splits, test=RawSplit(self._to_images(test.data), test.targets))

    def _to_images(self, levels: Tensor) -> Tensor:
        """Adds the axis of the channel, (N, 28, 28) -> (N, 1, 28, 28); exchanges black and white if `inverted`."""
        return (255 - levels if self.inverted else levels).unsqueeze(1)
