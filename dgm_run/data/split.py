"""What a data source delivers, before any protocol is applied."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dgm_run.data.memmap import OnDisk
from dgm_run.errors import DataError

LOOKED_AT = 100_000_000
"""Values of each split that stand for all in a digest: there may be more than fit into memory."""


class RawSplit(NamedTuple):
    """Examples as they come from the files.

    Attributes:
        x: (N, *shape); integers are levels 0 .. num_levels - 1, floats are values as they are. Training examples
            may stay on the disk.
        y: (N,) integer labels, or None.
        log_p: the true log-likelihood of each, (N,), nats, where the source knows it.
    """

    x: Tensor | OnDisk
    y: Tensor | None = None
    log_p: Tensor | None = None

    @property
    def stored(self) -> Tensor:
        """x as a tensor, which is mapped where it stays on the disk."""
        return self.x.x if isinstance(self.x, OnDisk) else self.x


@dataclass(frozen=True)
class RawSplits:
    """Training, validation and test examples. A source is a callable without arguments that returns these.

    Attributes:
        about: describes the data beside every number, in the results' protocol; empty for nothing.
        notes: lines for the log: what the source did to how many files.
    """

    train: RawSplit
    valid: RawSplit
    test: RawSplit
    about: str = ""
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[RawSplit]:
        yield from (self.train, self.valid, self.test)


def digest(splits: RawSplits) -> str:
    """Eight letters that change with what is in the splits; of very large ones evenly spaced examples are looked at."""
    found = hashlib.md5()
    for split in splits:
        x, y = split.stored, split.y
        num = min(len(x), max(1, LOOKED_AT // max(1, x[:1].numel())))
        index = torch.linspace(0, len(x) - 1, num, dtype=torch.float64).round().long()
        for values in (x,) if y is None else (x, y):
            some = values[index]
            found.update(f"{tuple(values.shape)} {some.dtype}".encode())
            found.update(some.contiguous().numpy().tobytes())
    return found.hexdigest()[:8]


def split_sizes(x: Tensor, y: Tensor | None, num_valid: int, num_test: int) -> RawSplits:
    """Cuts (train, valid, test) in this order; training gets what is left.

    Raises:
        DataError: validation and test leave nothing to train on.
    """
    num_train = len(x) - num_valid - num_test
    if num_train < 1:
        raise DataError(
            f"{len(x)} examples cannot give {num_valid} for validation and {num_test} for test: "
            "lower dataset.source.num_valid or num_test"
        )
    bounds = [slice(0, num_train), slice(num_train, num_train + num_valid), slice(len(x) - num_test, len(x))]
    train, valid, test = (RawSplit(x[b], None if y is None else y[b]) for b in bounds)
    return RawSplits(train, valid, test)
