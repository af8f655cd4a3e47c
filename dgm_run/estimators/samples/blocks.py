"""The error of a number about two samples, by the same number of parts of them.

The variance of such a number falls with the size of both samples. So the scatter over G disjoint blocks of both, over
the root of G, is its standard error for the whole: of what the data add, and of what the samples add. The mean over
several partitions makes the estimate of the variance steadier.
"""

from collections.abc import Callable

import torch
from torch import Tensor

MOST_BLOCKS = 10
FEWEST_BLOCKS = 4
NUM_PARTITIONS = 3


def block_stderr(
    statistic: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor, least: int
) -> tuple[Tensor, int] | None:  # fmt: skip
    """Standard errors of numbers about two samples, and degrees of freedom; None where there are too few examples.

    The degrees are those of one partition. More would trust the variance of small blocks too far.

    Args:
        statistic: the numbers, (K,), of two samples.
        x, y: (N, D) each.
        least: size of a block below which the numbers mean little.
    """
    num = min(MOST_BLOCKS, len(x) // least, len(y) // least)
    if num < FEWEST_BLOCKS:
        return None
    generator = torch.Generator().manual_seed(0)  # no other draw depends on it
    variances = []
    for _ in range(NUM_PARTITIONS):
        blocks = [
            sample[torch.randperm(len(sample), generator=generator).to(sample.device)].tensor_split(num)
            for sample in (x, y)
        ]
        variances.append(torch.stack([statistic(*pair) for pair in zip(*blocks, strict=True)]).var(0))
    return (torch.stack(variances).mean(0) / num).sqrt(), num - 1
