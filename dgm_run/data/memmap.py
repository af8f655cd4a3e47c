"""Examples that stay on the disk: a memory-mapped file, of which a batch reads its own rows, ahead of their use."""

import mmap
import warnings
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

_Key = tuple[int, int]


def mapped(path: Path) -> np.ndarray:
    """The array in a .npy file, none of it read yet.

    Raises:
        OSError, ValueError: it is no .npy file of plain numbers.
    """
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if isinstance(array.base, mmap.mmap):
        array.base.madvise(mmap.MADV_RANDOM)  # batches come from all over the file: what follows a row is not needed
    return array


def as_tensor(array: np.ndarray) -> Tensor:
    """The same memory."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nor is it written
        return torch.from_numpy(array)


class OnDisk:
    """Rows of a mapped tensor, those of the next batch read by a thread while the device works on this one.

    Args:
        x: (N, ...), mapped.
    """

    def __init__(self, x: Tensor):
        self.x = x
        self._reader = ThreadPoolExecutor(1, "reader")
        self._coming: dict[_Key, Future[Tensor]] = {}

    def expect(self, indices: Iterable[Tensor], device: torch.device) -> None:
        """Begins to read what `at` will be asked for, in this order; what is not expected any more is dropped."""
        coming: dict[_Key, Future[Tensor]] = {}
        for index in indices:
            key = _key(index)
            if key not in coming:
                coming[key] = self._coming.get(key) or self._reader.submit(self._read, index, device)
        self._coming = coming

    def at(self, index: Tensor | slice, device: torch.device) -> Tensor:
        """Rows on the device."""
        if isinstance(index, slice):
            return self.x[index].to(device)
        coming = self._coming.pop(_key(index), None)
        rows = coming.result() if coming else self._read(index, device)
        return rows.to(device, non_blocking=True)

    def _read(self, index: Tensor, device: torch.device) -> Tensor:
        rows = self.x.index_select(0, index)  # without the interpreter's lock
        return rows.pin_memory() if device.type == "cuda" else rows


def _key(index: Tensor) -> _Key:
    """Of positions that are a part of an order which lives as long as they are expected."""
    return index.data_ptr(), len(index)
