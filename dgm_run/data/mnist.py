"""MNIST and its drop-in replacements, read through torchvision: 60,000 + 10,000 images of 28x28.

MNIST: LeCun, Cortes, Burges. FashionMNIST: Xiao et al. 2017, https://arxiv.org/abs/1708.07747.
KMNIST: Clanuwat et al. 2018, https://arxiv.org/abs/1812.01718.
The last `num_valid` training images are the validation set, as in Burda et al. and Tomczak & Welling.
"""

from typing import Literal

from dgm_run.data.download import torchvision_source
from dgm_run.data.splits import Split, Splits, split_sizes


class MNIST:
    """One of the MNIST family by its torchvision class name."""

    def __init__(self, data_dir: str, name: Literal["MNIST", "FashionMNIST", "KMNIST"], num_valid: int, download: bool):
        self.data_dir, self.name, self.num_valid, self.download = data_dir, name, num_valid, download

    def __call__(self) -> Splits:
        train, test = torchvision_source(self.name, self.data_dir, self.download)
        splits = split_sizes(train.data.unsqueeze(1), train.targets, self.num_valid, 0)
        return splits._replace(test=Split(test.data.unsqueeze(1), test.targets))
