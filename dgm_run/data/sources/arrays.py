"""Arrays of the user, from a file or a folder. Integers are grey levels, floats are real values."""

from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from dgm_run.data.memmap import OnDisk, as_tensor, map_array
from dgm_run.data.split import RawSplit, RawSplits, split_examples
from dgm_run.errors import DataError

NAMES = ("train", "valid", "test")
TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
"""Suffixes of text files, which are refused."""


class Arrays:
    """Arrays with examples along the first axis.

    A .npz holds `train`, `valid` and `test`, with optional labels `train_y`, `valid_y` and `test_y`. Otherwise it holds
    one array `x` (labels `y`), which is split here; so is the array of a .npy. A folder holds train.npy, valid.npy, ...
    Its training examples stay on the disk, because they may exceed the memory.

    Args:
        path: file or folder.
        num_valid: examples for validation, if one array is split; null for a tenth, at most 1,000.
        num_test: examples for the test set, as `num_valid`.
        split_seed: seed of the shuffle before the split; null keeps the order and takes the last examples.

    Raises:
        DataError: the file is of another kind.
    """

    is_users_own = True  # the files may change from one run to the next

    def __init__(self, path: str, num_valid: int | None, num_test: int | None, split_seed: int | None):
        self.path = path
        self.num_valid = num_valid
        self.num_test = num_test
        self.split_seed = split_seed
        _refuse_other_kind(Path(path).expanduser())  # refused here, before a message about the likelihood

    def __call__(self) -> RawSplits:
        path = Path(self.path).expanduser().resolve()
        arrays = _map_folder(path) if path.is_dir() else _load(path)
        if all(name in arrays for name in NAMES):
            train, valid, test = (_read(arrays, name, f"{name}_y", path) for name in NAMES)
            return RawSplits(train, valid, test)
        if "x" not in arrays or path.is_dir():
            held = ", ".join(arrays) or "nothing"
            needed = "train.npy, valid.npy and test.npy" if path.is_dir() else "train, valid and test, or one array x"
            raise DataError(f"{path} needs arrays {needed}; it holds {held}")
        split = _read(arrays, "x", "y", path)
        x = split.stored
        y = split.y
        if self.split_seed is not None:
            order = torch.randperm(len(x), generator=torch.Generator().manual_seed(self.split_seed))
            x = x[order]
            y = None if y is None else y[order]
        return split_examples(x, y, self.num_valid, self.num_test)


def _refuse_other_kind(path: Path) -> None:
    if path.suffix.lower() in TABLE_SUFFIXES and path.is_file():
        comma = ", delimiter=','" if path.suffix.lower() == ".csv" else ""
        raise DataError(
            f"{path} is no .npz or .npy file: save its numbers in one, "
            f"np.save('{path.stem}.npy', np.loadtxt('{path.name}'{comma}))"
        )


def _load(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise DataError(f"{path}: no such file; set dataset.source.path to a .npz or .npy file, or a folder of .npy")
    try:
        contents = np.load(path, allow_pickle=False)  # a pickle can run any code
        return {"x": contents} if isinstance(contents, np.ndarray) else dict(contents)
    except (OSError, EOFError, BadZipFile, ValueError):  # NumPy's own message advises to allow pickles
        raise DataError(f"{path} is no .npz or .npy file of plain numbers, as np.savez writes them") from None


def _map_folder(folder: Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a folder by name; training examples are mapped, others are read."""
    arrays = {}
    for path in sorted(folder.glob("*.npy")):
        try:
            array = map_array(path)
        except (OSError, EOFError, ValueError):
            raise DataError(f"{path} is no .npy file of plain numbers, as np.save writes them") from None
        arrays[path.stem] = array if path.stem == "train" else np.array(array)
    return arrays


def _read(arrays: Mapping[str, np.ndarray], name: str, labels: str, path: Path) -> RawSplit:
    """Converts the arrays of examples and, if there are some, of labels."""
    x = arrays[name]
    if x.ndim < 1:
        raise DataError(f"{path}: {name} has the shape {list(x.shape)} instead of (N, ...), one example a row")
    if labels not in arrays:
        return RawSplit(_convert_values(x, name, path))
    y = _convert_labels(arrays[labels])
    if y.dtype.kind not in "biu" or y.shape != x.shape[:1]:
        found = f"of type {y.dtype} and shape {list(y.shape)}"
        raise DataError(f"{path}: {labels} is {found}; labels are {len(x)} integers, one an example; -1 is no label")
    return RawSplit(_convert_values(x, name, path), torch.from_numpy(y.astype(np.int64)))


def _convert_labels(y: np.ndarray) -> np.ndarray:
    """Converts whole numbers that are stored as floats to integers; NaN becomes -1, no label."""
    if y.dtype.kind != "f" or not (np.isnan(y) | (y == np.round(y))).all():
        return y
    return np.where(np.isnan(y), -1, y).astype(np.int64)


def _convert_values(x: np.ndarray, name: str, path: Path) -> Tensor | OnDisk:
    if isinstance(x, np.memmap):
        if (x.dtype.kind != "f" and x.dtype != np.uint8) or not x.dtype.isnative:
            raise DataError(
                f"{path}: {name} is of type {x.dtype}; save it as uint8, or as floats in the byte order of this machine"
            )
        return OnDisk(as_tensor(x))
    if x.dtype.kind == "f":  # double precision is kept until the values are standardised
        return torch.from_numpy(x.astype(np.float64 if x.dtype.itemsize >= 8 else np.float32))
    if x.dtype.kind not in "biu":
        raise DataError(f"{path}: {name} is of type {x.dtype}; only integers and floats can be used")
    if x.size and not (x.min() >= 0 and x.max() <= 255):
        found = f"{name} has integers from {x.min()} to {x.max()}"
        raise DataError(f"{path}: {found}; levels go from 0 to 255; save numbers as floats, x.astype(float)")
    return torch.from_numpy(x.astype(np.uint8))
