"""Standard errors of a number about two samples, from disjoint blocks of them.

The variance of such a number falls with the size of both samples. So its scatter over G disjoint blocks of both, over
the root of G, is the standard error for the whole. It holds the scatter of the data and of the samples. The mean over
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
    """Estimates standard errors of K numbers about two samples, and their degrees of freedom; None for few examples.

    The degrees are those of one partition. More would trust the variance of small blocks too far.

    Args:
        statistic: maps two samples to the numbers, (K,).
        x, y: (N, D) each.
        least: smallest size of a block that makes the numbers meaningful.
    """
    num = min(MOST_BLOCKS, len(x) // least, len(y) // least)
    if num < FEWEST_BLOCKS:
        return None
    generator = torch.Generator().manual_seed(0)  # its own, so that no other draw changes
    variances = []
    for _ in range(NUM_PARTITIONS):
        blocks = [
            sample[torch.randperm(len(sample), generator=generator).to(sample.device)].tensor_split(num)
            for sample in (x, y)
        ]
        variances.append(torch.stack([statistic(*pair) for pair in zip(*blocks, strict=True)]).var(0))
    return (torch.stack(variances).mean(0) / num).sqrt(), num - 1
