"""Standard errors of statistics of two samples, from disjoint blocks of them.

The variance of such a statistic falls as one over the size of both samples. So its standard deviation over G disjoint
blocks of both, divided by the root of G, is the standard error for the whole. It includes the scatter of the data and
of the samples. The mean over several partitions makes the estimate of the variance steadier.
"""

from collections.abc import Callable

import torch
from torch import Tensor

MAX_BLOCKS = 10
MIN_BLOCKS = 4
NUM_PARTITIONS = 3


def block_stderr(
    statistic: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor, min_size: int
) -> tuple[Tensor, int] | None:  # fmt: skip
    """Estimates standard errors of several statistics, and their degrees of freedom; None for too few examples.

    The degrees are those of one partition. More would trust the variance of small blocks too far.

    Args:
        statistic: maps two samples to the statistics, (num_statistics,).
        x, y: samples, (N, D) each.
        min_size: smallest size of a block that makes the statistics meaningful.
    """
    num = min(MAX_BLOCKS, len(x) // min_size, len(y) // min_size)
    if num < MIN_BLOCKS:
        return None
    generator = torch.Generator().manual_seed(0)  # its own, so that no other draw changes
    variances = []
    for _ in range(NUM_PARTITIONS):
        x_blocks = _split_randomly(x, num, generator)
        y_blocks = _split_randomly(y, num, generator)
        statistics = [statistic(a, b) for a, b in zip(x_blocks, y_blocks, strict=True)]
        variances.append(torch.stack(statistics).var(0))
    return (torch.stack(variances).mean(0) / num).sqrt(), num - 1


def _split_randomly(sample: Tensor, num: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    order = torch.randperm(len(sample), generator=generator).to(sample.device)
    return sample[order].tensor_split(num)
