"""Handwritten digits, embedded in scikit-learn: 1,797 images of 8x8 with 17 grey levels. No download.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998,
https://archive.ics.uci.edu/dataset/80
"""

import torch

from dgm_run.data.split import RawSplits, split_sizes


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
        from sklearn.datasets import load_digits  # its import takes a second

        digits = load_digits()
        order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(self.split_seed))
        x = torch.as_tensor(digits.images, dtype=torch.uint8).unsqueeze(1)[order]
        y = torch.as_tensor(digits.target)[order]
        return split_sizes(x, y, self.num_valid, self.num_test)
