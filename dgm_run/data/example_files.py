"""Reads examples from files of the user: arrays, tables of numbers, images and text."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from dgm_run.data.image_file import ImageReader
from dgm_run.data.sources.image_folder import IMAGE_SUFFIXES
from dgm_run.data.table_file import read_csv_rows, read_table
from dgm_run.errors import DataError

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
"""Suffixes of tables."""
SUFFIXES = (".npy", ".npz", *TABLE_SUFFIXES, ".txt")
"""Suffixes of files that hold several examples."""
ARRAY_NAMES = ("x", "test")
"""Names of the array of a .npz file that is taken, in this order."""
WHITE = (255, 255, 255)


def read_examples(path: Path, shape: Sequence[int], num_levels: int | None) -> tuple[Any, list[str]]:
    """Reads the examples of a file, or of all images of a folder.

    Args:
        path: file or folder.
        shape: shape of one example; images are scaled to it.
        num_levels: grey levels of the data; None for real values.

    Returns:
        Examples, an array (N, ...) or a list of N lines, and the name of each example in its file.

    Raises:
        DataError: the file cannot be read; one line says what is known.
    """
    suffix = path.suffix.lower()
    if path.is_dir() or suffix in IMAGE_SUFFIXES:
        return _read_images(path, shape, num_levels)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file or folder")
    readers: dict[str, Callable[[Path], np.ndarray | list[str]]] = {
        **dict.fromkeys((".npy", ".npz"), _read_array),
        **dict.fromkeys((".csv", ".tsv"), _read_numbers),
        ".parquet": _read_parquet,
        ".txt": _read_lines,
    }
    if suffix not in readers:
        raise DataError(f"{path}: known are folders of images, {', '.join((*SUFFIXES, *IMAGE_SUFFIXES))}")
    x = readers[suffix](path)
    if isinstance(x, np.ndarray) and x.ndim == 2 and len(shape) > 1 and x.shape[1] == np.prod(shape):
        x = x.reshape(len(x), *shape)  # a row of a table, pixel by pixel
    return x, [str(i) for i in range(len(x))]


def _read_array(path: Path) -> np.ndarray:
    try:
        contents = np.load(path, allow_pickle=False)  # a pickle can run any code
    except (OSError, EOFError, BadZipFile, ValueError):
        raise DataError(f"{path} is no .npy or .npz file of plain numbers, as np.savez writes them") from None
    if isinstance(contents, np.ndarray):
        return contents
    names = [name for name in ARRAY_NAMES if name in contents] or list(contents)
    if not names or (names[0] not in ARRAY_NAMES and len(names) > 1):
        raise DataError(f"{path} holds {', '.join(names) or 'nothing'}: name the array of examples x")
    return contents[names[0]]


def _read_numbers(path: Path) -> np.ndarray:
    """Reads a table of numbers, with or without a line of names; an empty field is a missing value."""
    rows = read_csv_rows(path)
    if not all(_is_number(field) for field in rows[0][1]):
        rows = rows[1:]
    for line, row in rows:
        for column, field in enumerate(row, 1):
            if not _is_number(field):
                raise DataError(f"{path}: line {line}, column {column} holds {field!r}, which is no number")
        if len(row) != len(rows[0][1]):
            raise DataError(f"{path}: line {line} has {len(row)} columns, and line {rows[0][0]} has {len(rows[0][1])}")
    return np.array([[float(field) if field.strip() else np.nan for field in row] for _, row in rows])


def _is_number(field: str) -> bool:
    try:
        float(field or "nan")
    except ValueError:
        return not field.strip()
    return True


def _read_parquet(path: Path) -> np.ndarray:
    columns = read_table(path)
    for column in columns:
        if not column.is_readable or any(isinstance(cell, str) for cell in column.cells):
            raise DataError(f"{path}: column {column.name} holds {column.dtype}, which is no number")
    # None becomes NaN
    return np.column_stack([np.array(column.cells, dtype=np.float64) for column in columns])


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path} is no text in UTF-8") from None


def _read_images(path: Path, shape: Sequence[int], num_levels: int | None) -> tuple[torch.Tensor, list[str]]:
    if len(shape) != 3:
        raise DataError(f"{path}: the model takes examples of shape {list(shape)}, not images")
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise DataError(f"{path}: holds no image; known are {' '.join(IMAGE_SUFFIXES)}")
    channels, height, width = shape
    reader = ImageReader((channels, height, width), 256, "stretch", WHITE)
    x = torch.stack([reader.read(file)[0] for file in files])
    names = [file.name if path.is_file() else file.relative_to(path).as_posix() for file in files]
    return x if num_levels == 256 else _scale(x, num_levels), names


def _scale(x: torch.Tensor, num_levels: int | None) -> torch.Tensor:
    """Converts 256 levels to intensities, rounded to other levels where the data have them."""
    intensities = x.double() / 255
    return intensities if num_levels is None else (intensities * (num_levels - 1)).round() / (num_levels - 1)
