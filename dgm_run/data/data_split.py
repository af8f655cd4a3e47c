"""Examples of one split, resident on the device or read from the disk."""

import math
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from typing import Any

import torch
from torch import Tensor

from dgm_run.data.augmentations import AugmentationChain
from dgm_run.data.columns import Column
from dgm_run.data.corruptions import Corruption
from dgm_run.data.memmap import OnDisk
from dgm_run.data.standardize import Standardization
from dgm_run.distributed import process_group


class DataSplit:
    """Examples of one split, on the device or on the disk. Batches are read by index and prepared on the device.

    Args:
        x: stored values, (N, *shape): levels as uint8, or floats. Indices are on the same device.
        y: labels, (N,), or None.
        prepare: turns stored values into the input of the model.
        log_bin_width: log of the width of a grey level for dequantised values, else 0. It turns a density into a mass.
        labelled: positions of the examples whose labels may be used; None for all of them.
        corrupt: corruption of the examples; None for none.
        corruption_noise: noise of the corruption for each example, (N, ...).
        disk: reads x if it is a file.
        log_p: true log-likelihood of each observed example, (N,), nats, on the CPU; None if unknown.
        standardization: units of the model's input; None for those of the data.

    Attributes:
        device: device of the batches.
        augment: augmentation of the batches of `augmented`; None for none.
        columns: columns of a table; empty for other data.
    """

    columns: tuple[Column, ...] = ()

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
        self.augment: AugmentationChain | None = None
        self._is_augmented = False

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: Tensor | slice) -> Tensor:
        """Returns the examples at `index` as floats, (B, *shape), after their corruption."""
        x = self.disk.read_rows(index, self.device) if self.disk else _select(self.x, index)
        noise = None if self.corruption_noise is None else _select(self.corruption_noise, index)
        if self.augment and self._is_augmented:
            x, noise = self.augment(x, noise)  # the noise is a mask of missing values
        x = self.prepare(x)
        return x if self.corrupt is None or noise is None else self.corrupt.apply(x, noise)

    def prefetch(self, indices: Iterable[Tensor]) -> None:
        """Prefetches the batches of `indices` from a file. An index is a view of a tensor that must live until then."""
        if self.disk:
            self.disk.prefetch(indices, self.device)

    @property
    def num_observed(self) -> Tensor:
        """Number of observed elements of each example, (N,), or a scalar if all have the same."""
        shape = self.x.shape[1:]
        if self.corrupt is None or self.corruption_noise is None:
            return torch.tensor(math.prod(shape))
        return self.corrupt.num_observed(self.corruption_noise, shape)

    def to_data_units(self, log_p: Tensor, index: Tensor | slice = slice(None)) -> Tensor:
        """Converts log-densities of standardised examples at `index`, (B,), to the units of the data, nats."""
        if self.standardization is None:
            return log_p
        missing = None if self.corruption_noise is None else self.corruption_noise[index]
        return log_p + self.standardization.log_det(missing).to(log_p)

    @property
    def mean_log_det(self) -> float:
        """Mean over all examples of the term that `to_data_units` adds, nats."""
        return self.to_data_units(torch.zeros(len(self), dtype=torch.float64)).mean().item()

    @property
    def augmented(self) -> "DataSplit":
        """Split whose batches are augmented, by new draws each, for the steps of a training."""
        return self._replace(_is_augmented=True) if self.augment else self

    @property
    def uncorrupted(self) -> "DataSplit":
        """Split without the corruption."""
        return self._replace(corrupt=None, corruption_noise=None)

    def map(self, change: Callable[[Tensor], Tensor]) -> "DataSplit":
        """Returns a split without labels whose batches are passed through a function."""
        prepare = self.prepare
        return self._replace(y=None, log_p=None, prepare=lambda values: change(prepare(values)))

    def take(self, num: int) -> "DataSplit":
        """Returns a split of the first examples: `num` of them, or all if there are fewer."""
        num = min(num, len(self))
        parts = {name: getattr(self, name) for name in ("x", "y", "corruption_noise", "log_p")}
        taken = {name: None if values is None else values[:num] for name, values in parts.items()}
        return self._replace(**taken, labelled=self.labelled[self.labelled < num])

    def batches(self, size: int, num: int | None = None) -> Iterator[Tensor]:
        """Yields the first `num` examples, or all, in their order, in batches of `size`; the last may be smaller."""
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
        """Computes values for the first `num` examples, or all, in their order: (N, ...) by name.

        Args:
            block_size: examples of a block; several processes share the blocks.
            find: examples (B, *shape) -> tensors (B, ...) by name.
            report: receives the progress as (examples done, examples in all); it may raise.
            num: number of examples; None for all.
        """
        num = len(self) if num is None else min(num, len(self))
        return process_group.map_blocks(num, block_size, lambda block: find(self.batch(block)), report)

    def to(self, device: torch.device) -> "DataSplit":
        """Returns the split on a device. Examples on the disk stay there, and their batches go to the device."""
        moved: dict[str, Any] = {"device": device}
        if self.y is not None:
            moved["y"] = self.y.to(device)
        if self.corruption_noise is not None:
            moved["corruption_noise"] = self.corruption_noise.to(device)
        if not self.disk:
            moved["x"] = self.x.to(device)
            moved["labelled"] = self.labelled.to(device)
        return self._replace(**moved)

    def _replace(self, **attributes: Any) -> "DataSplit":
        other = copy(self)
        vars(other).update(attributes)
        return other


def _select(values: Tensor, index: Tensor | slice) -> Tensor:
    # index_select: advanced indexing of an 8-bit tensor takes ten times as long
    return values[index] if isinstance(index, slice) else values.index_select(0, index)


def to_float(values: Tensor) -> Tensor:
    """Converts values to torch's default type, the precision of the run."""
    return values.to(torch.get_default_dtype())
