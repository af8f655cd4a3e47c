"""Memory-mapped examples on the disk. A thread reads the next batches ahead of their use."""

import mmap
import warnings
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

_Key = tuple[int, int]


def map_array(path: Path) -> np.ndarray:
    """Maps the array of a .npy file, without reading it.

    Raises:
        OSError, ValueError: the file is no .npy file of plain numbers.
    """
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if isinstance(array.base, mmap.mmap):
        array.base.madvise(mmap.MADV_RANDOM)  # batches are scattered over the file, so that reading ahead is useless
    return array


def as_tensor(array: np.ndarray) -> Tensor:
    """Returns a tensor that shares the memory of an array."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # it is never written
        return torch.from_numpy(array)


class OnDisk:
    """Rows of a mapped tensor. A thread reads the next batch while the device works on the current one.

    Args:
        x: mapped tensor, (N, ...).
    """

    def __init__(self, x: Tensor):
        self.x = x
        self._reader = ThreadPoolExecutor(1, "reader")
        self._pending: dict[_Key, Future[Tensor]] = {}

    def prefetch(self, indices: Iterable[Tensor], device: torch.device) -> None:
        """Starts to read the rows of the next calls of `read_rows`, in this order; drops other rows."""
        pending: dict[_Key, Future[Tensor]] = {}
        for index in indices:
            key = _key(index)
            if key not in pending:
                pending[key] = self._pending.get(key) or self._reader.submit(self._read, index, device)
        self._pending = pending

    def read_rows(self, index: Tensor | slice, device: torch.device) -> Tensor:
        """Returns rows on the device."""
        if isinstance(index, slice):
            return self.x[index].to(device)
        future = self._pending.pop(_key(index), None)
        rows = future.result() if future else self._read(index, device)
        return rows.to(device, non_blocking=True)

    def _read(self, index: Tensor, device: torch.device) -> Tensor:
        rows = self.x.index_select(0, index)  # without the interpreter's lock
        return rows.pin_memory() if device.type == "cuda" else rows


def _key(index: Tensor) -> _Key:
    """Returns a key of positions: their address in memory, which the caller keeps until the rows are read."""
    return index.data_ptr(), len(index)
