"""Handwritten digits, embedded in scikit-learn: 1,797 images of 8x8 with 17 grey levels. No download.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998,
https://archive.ics.uci.edu/dataset/80
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dgm_run.data.split import RawSplits, split_examples


class Digits:
    """Digits: the test half of the UCI set, shuffled once.

    Args:
        num_valid: images for validation.
        num_test: images for the test set.
        split_seed: seed of the shuffle.
    """

    def __init__(self, num_valid: int, num_test: int, split_seed: int):
        self.num_valid = num_valid
        self.num_test = num_test
        self.split_seed = split_seed

    def __call__(self) -> RawSplits:
        x, y = _read_digits()
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(self.split_seed))
        return split_examples(x[order], y[order], self.num_valid, self.num_test)


@cache
def _read_digits() -> tuple[Tensor, Tensor]:
    """Reads the images, (1797, 1, 8, 8), and their labels from scikit-learn, whose import would take a second."""
    package = find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    rows = torch.from_numpy(np.loadtxt(path, np.uint8, delimiter=","))
    return rows[:, :-1].reshape(-1, 1, 8, 8), rows[:, -1].long()
