"""What a data source delivers, before any protocol is applied."""

from typing import NamedTuple

from torch import Tensor

from dgm_run.data.on_disk import OnDisk
from dgm_run.errors import DataError


class Split(NamedTuple):
    """Examples as they come from the files.

    Attributes:
        x: (N, *shape); integers are levels 0 .. num_levels - 1, floats are values as they are. Training examples
            may stay on the disk.
        y: (N,) integer labels, or None.
    """

    x: Tensor | OnDisk
    y: Tensor | None = None


class Splits(NamedTuple):
    """Training, validation and test examples. A source is a callable without arguments that returns these."""

    train: Split
    valid: Split
    test: Split


def split_sizes(x: Tensor, y: Tensor | None, num_valid: int, num_test: int) -> Splits:
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
    return Splits(*(Split(x[b], None if y is None else y[b]) for b in bounds))
