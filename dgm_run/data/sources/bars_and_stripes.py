"""Bars and stripes: all images made of whole rows or of whole columns. So few that p(x) is known exactly.

D. MacKay, Information Theory, Inference, and Learning Algorithms, 2003, chapter 43,
https://www.inference.org.uk/mackay/itila/
"""

import math

import torch

from dgm_run.data.split import RawSplit, RawSplits

ABOUT = "training, validation and test examples are the same"


class BarsAndStripes:
    """2^s images of rows and 2^s of columns, s x s pixels. Training, validation and test set are all of them.

    The blank and the full image belong to both kinds and stand twice, as if a coin were tossed for the
    direction and then one for every line: 4x4 has 32 images, 30 of them distinct. No model reaches a mean
    log-likelihood above -(s + 1 - 2^(1-s)) log 2, the negative entropy.

    Args:
        size: s, pixels a side.
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
        of_both = (x.double().mean((1, 2, 3)) % 1 == 0).double()  # the blank and the full one
        everything = RawSplit(x, log_p=(of_both - self.size - 1) * math.log(2))
        return RawSplits(everything, everything, everything, about=ABOUT)
