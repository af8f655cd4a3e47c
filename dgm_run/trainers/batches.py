"""Batches of an epoch, in random order."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from torch import Tensor

from dgm_run import rng
from dgm_run.data.data_split import DataSplit


class Batches:
    """Batches of the training examples in an order that depends on seed and epoch.

    Args:
        train: training examples.
        size: examples of a batch; the last of an epoch may be smaller.
        seed: seed of the run.
        prefetch: receives the positions of this batch and the next, before this one is used.
    """

    def __init__(self, train: DataSplit, size: int, seed: int, prefetch: Callable[[Iterable[Tensor]], None]):
        self.train = train
        self.size = size
        self.seed = seed
        self.prefetch = prefetch

    def iterate(self, epoch: int, first: int, end: int) -> Iterator[Tensor]:
        """Yields the positions of the examples, (B,), of the batches `first` to `end` - 1 of an epoch."""
        if first >= end:
            return
        batches = rng.permutation(self.seed, epoch, len(self.train)).to(self.train.x.device).split(self.size)
        for position in range(first, end):
            self.prefetch(islice(batches, position, position + 2))
            yield batches[position]
