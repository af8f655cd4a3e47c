"""Examples of one split, resident on the device or read from the disk."""

import math
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from typing import Any

import torch
from torch import Tensor

from dgm_run.data.corruptions import Corruption
from dgm_run.data.memmap import OnDisk
from dgm_run.data.standardize import Standardization
from dgm_run.distributed import process_group


class DataSplit:
    """One split on the device, or on the disk. A batch is an index; what is random about it is drawn on the device.

    Args:
        x: (N, *shape) stored values: levels as uint8, or floats. Positions of examples live where it does.
        y: (N,) labels or None.
        prepare: turns stored values into what the model sees.
        log_bin_width: log of the width of a grey level where the values are dequantised, else 0: what turns a
            density into a mass.
        labelled: positions of the examples whose labels may be used; None for all of them.
        corrupt: what stands between the examples and what is seen of them; None for nothing.
        drawn: (N, ...) what is random about that, for each example.
        disk: reads x where it is a file.
        log_p: the true log-likelihood of each of what is seen, (N,), nats, on the CPU, where it is known.
        standardization: the units of what the model sees; None for those of the data.

    Attributes:
        device: where batches are.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor | None,
        prepare: Callable[[Tensor], Tensor],
        log_bin_width: float = 0.0,
        labelled: Tensor | None = None,
        corrupt: Corruption | None = None,
        corruption_noise: Tensor | None = None,
        disk: OnDisk | None = None,
        log_p: Tensor | None = None,
        standardization: Standardization | None = None,
    ):
        self.x = x
        self.y = y
        self.prepare = prepare
        self.log_bin_width = log_bin_width
        self.labelled = torch.arange(len(x), device=x.device) if labelled is None else labelled
        self.corrupt = corrupt
        self.corruption_noise = corruption_noise
        self.disk = disk
        self.device = x.device
        self.log_p = log_p
        self.standardization = standardization

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: Tensor | slice) -> Tensor:
        """The examples at `index` as floats, (B, *shape), as far as they are seen."""
        x = self.prepare(self.disk.at(index, self.device) if self.disk else _at(self.x, index))
        return x if self.corruption_noise is None else self.corrupt.apply(x, _at(self.corruption_noise, index))

    def expect(self, indices: Iterable[Tensor]) -> None:
        """Told what `batch` will be asked for next: each a part of a tensor that lives until then."""
        if self.disk:
            self.disk.expect(indices, self.device)

    @property
    def num_observed(self) -> Tensor:
        """How many elements are seen of each example, (N,), or of all of them, a scalar."""
        full = math.prod(self.x.shape[1:])
        return (
            torch.tensor(full)
            if self.corrupt is None
            else self.corrupt.num_observed(self.corruption_noise, self.x.shape[1:])
        )

    def in_data_units(self, log_p: Tensor, index: Tensor | slice = slice(None)) -> Tensor:
        """Turns log densities of the examples at `index` as the model sees them, (B,), into those of the data, nats."""
        if self.standardization is None:
            return log_p
        missing = None if self.corruption_noise is None else self.corruption_noise[index]
        return log_p + self.standardization.log_det(missing).to(log_p)

    @property
    def mean_log_det(self) -> float:
        """What `in_data_units` adds in the mean over all examples, nats."""
        return self.in_data_units(torch.zeros(len(self), dtype=torch.float64)).mean().item()

    @property
    def uncorrupted(self) -> "DataSplit":
        """The same as they were before they were corrupted."""
        return self._changed(corrupt=None, corruption_noise=None)

    def map(self, change: Callable[[Tensor], Tensor]) -> "DataSplit":
        """The same without labels, as a function of them shows them."""
        prepare = self.prepare
        return self._changed(y=None, log_p=None, prepare=lambda values: change(prepare(values)))

    def batches(self, size: int, num: int | None = None) -> Iterator[Tensor]:
        """The first `num` examples, or all, in their order: batches of `size`, the last one with what is left."""
        end = len(self) if num is None else min(num, len(self))
        for start in range(0, end, size):
            yield self.batch(slice(start, min(start + size, end)))

    def map_batches(
        self,
        block_size: int,
        find: Callable[[Tensor], dict[str, Tensor]],
        report: Callable[[int, int], None],
        num: int | None = None,
    ) -> dict[str, Tensor]:
        """What `find` has for each of the first `num` examples, or all, in their order: (N, ...) by name.

        Args:
            block_size: examples at a time; several processes share the blocks.
            find: given examples (B, *shape), tensors (B, ...).
            report: told how far the work has come, as (examples done, examples in all); it may raise.
            num: of the examples.
        """
        num = len(self) if num is None else min(num, len(self))
        return process_group.map_blocks(num, block_size, lambda block: find(self.batch(block)), report)

    def to(self, device: torch.device) -> "DataSplit":
        y, corruption_noise = (None if each is None else each.to(device) for each in (self.y, self.corruption_noise))
        x, labelled = (each if self.disk else each.to(device) for each in (self.x, self.labelled))
        return self._changed(x=x, y=y, labelled=labelled, corruption_noise=corruption_noise, device=device)

    def _changed(self, **attributes: Any) -> "DataSplit":
        other = copy(self)
        vars(other).update(attributes)
        return other


def _at(values: Tensor, index: Tensor | slice) -> Tensor:
    # advanced indexing of an 8-bit tensor takes ten times as long
    return values[index] if isinstance(index, slice) else values.index_select(0, index)


def to_float(values: Tensor) -> Tensor:
    return values.to(torch.get_default_dtype())
