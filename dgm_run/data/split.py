"""Raw splits of a data source, before any protocol is applied."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dgm_run.data.memmap import OnDisk
from dgm_run.errors import DataError

MAX_DIGESTED_VALUES = 100_000_000
"""Largest number of values of each split in a digest: a split may exceed the memory."""
MAX_SHARE = 1000
"""Largest number of examples that are put aside without a number of the user's."""


class RawSplit(NamedTuple):
    """Examples of one split, as stored in the files.

    Attributes:
        x: (N, *shape); integers are levels 0 .. num_levels - 1, floats are real values. Training examples may stay on
            the disk.
        y: integer labels, (N,), or None.
        log_p: true log-likelihood of each example, (N,), nats; None if unknown.
    """

    x: Tensor | OnDisk
    y: Tensor | None = None
    log_p: Tensor | None = None

    @property
    def stored(self) -> Tensor:
        """Values x as a tensor, which is memory-mapped if x stays on the disk."""
        return self.x.x if isinstance(self.x, OnDisk) else self.x


@dataclass(frozen=True)
class RawSplits:
    """Training, validation and test examples. A source is a callable without arguments that returns them.

    Attributes:
        train, valid, test: the splits.
        about: description of the data for the protocol in the results; empty for none.
        notes: lines for the log about changes to files.
    """

    train: RawSplit
    valid: RawSplit
    test: RawSplit
    about: str = ""
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[RawSplit]:
        yield from (self.train, self.valid, self.test)


def digest(splits: RawSplits) -> str:
    """Hashes the splits to eight hexadecimal digits. A very large split is hashed at evenly spaced examples."""
    md5 = hashlib.md5()
    for split in splits:
        x = split.stored
        num = min(len(x), max(1, MAX_DIGESTED_VALUES // max(1, x[:1].numel())))
        index = torch.linspace(0, len(x) - 1, num, dtype=torch.float64).round().long()
        for values in (x,) if split.y is None else (x, split.y):
            selected = values[index]
            md5.update(f"{tuple(values.shape)} {selected.dtype}".encode())
            md5.update(selected.contiguous().numpy().tobytes())
    return md5.hexdigest()[:8]


def split_examples(x: Tensor, y: Tensor | None, num_valid: int | None, num_test: int | None) -> RawSplits:
    """Splits examples into train, valid and test, in this order; training gets the rest.

    Args:
        x: examples, (N, *shape).
        y: labels, (N,), or None.
        num_valid, num_test: number of examples; None for a tenth of them, at most `MAX_SHARE`.

    Raises:
        DataError: no training examples are left.
    """
    share = min(MAX_SHARE, max(1, len(x) // 10))
    num_valid = share if num_valid is None else num_valid
    num_test = share if num_test is None else num_test
    num_train = len(x) - num_valid - num_test
    if num_train < 1:
        raise DataError(
            f"{len(x)} examples cannot give {num_valid} for validation and {num_test} for test: "
            "lower dataset.source.num_valid or num_test"
        )
    bounds = [slice(0, num_train), slice(num_train, num_train + num_valid), slice(len(x) - num_test, len(x))]
    train, valid, test = (RawSplit(x[b], None if y is None else y[b]) for b in bounds)
    return RawSplits(train, valid, test)
