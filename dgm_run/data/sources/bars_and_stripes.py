"""Bars and stripes: all images of whole rows or whole columns. Their p(x) is known exactly.

D. MacKay, Information Theory, Inference, and Learning Algorithms, 2003, chapter 43,
https://www.inference.org.uk/mackay/itila/
"""

import math

import torch

from dgm_run.data.split import RawSplit, RawSplits

DESCRIPTION = "training, validation and test examples are the same"


class BarsAndStripes:
    """Images of s x s pixels: 2^s of rows and 2^s of columns. Training, validation and test set hold all of them.

    The blank and the full image belong to both kinds, and appear twice. A coin toss chooses the direction, and one more
    toss each line. 4x4 has 32 images, 30 of them distinct. No model reaches a mean log-likelihood
    above -(s + 1 - 2^(1-s)) log 2, the negative entropy.

    Args:
        size: s, pixels of a side.
    """

    def __init__(self, size: int):
        if not 1 <= size <= 12:
            raise ValueError(f"size = {size}: 2^(size + 1) images fit in memory for a size from 1 to 12")
        self.size = size

    def __call__(self) -> RawSplits:
        lines = torch.arange(self.size)
        patterns = (torch.arange(2**self.size).unsqueeze(1) >> lines) & 1  # (2^s, s)
        rows = patterns[:, None, :, None].expand(-1, 1, self.size, self.size)  # (2^s, 1, s, s)
        x = torch.cat([rows, rows.mT]).to(torch.uint8)
        is_of_both_kinds = (x.double().mean((1, 2, 3)) % 1 == 0).double()  # the blank and the full image
        all_images = RawSplit(x, log_p=(is_of_both_kinds - self.size - 1) * math.log(2))
        return RawSplits(all_images, all_images, all_images, about=DESCRIPTION)
