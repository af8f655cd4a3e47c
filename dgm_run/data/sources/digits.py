"""Handwritten digits, embedded in scikit-learn: 1,797 images of 8x8 with 17 grey levels. No download.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998,
https://archive.ics.uci.edu/dataset/80
"""

import importlib.util
from pathlib import Path

import numpy as np
import torch

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
        rows = torch.as_tensor(np.loadtxt(_find_file(), delimiter=",", dtype=np.uint8))
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(self.split_seed))]
        x = rows[:, :-1].contiguous().view(-1, 1, 8, 8)
        return split_examples(x, rows[:, -1].long(), self.num_valid, self.num_test)


def _find_file() -> Path:
    """Finds the file of scikit-learn, whose import would take a second."""
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
