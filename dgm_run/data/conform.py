"""Converts a user's arrays to the declared shape and levels, or refuses them with a message that names the way out."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dgm_run.data.memmap import OnDisk
from dgm_run.data.split import RawSplits
from dgm_run.errors import DataError

NAMES = ("train", "valid", "test")

LEVEL_TOLERANCE = 1e-3
"""Largest distance of a float to a level, in levels, at which the float is read as that level."""

MIN_BRIGHTNESS = 0.25
"""Share of the highest level that some pixel must reach."""

BLOCK_SIZE = 10_000
"""Number of examples that are read at a time from a file."""


class ShapeError(DataError):
    """Error of examples that have another shape than declared.

    Attributes:
        shape: shape of the examples.
    """

    def __init__(self, message: str, shape: tuple[int, ...]):
        super().__init__(message)
        self.shape = shape


def conform_shapes(splits: RawSplits, shape: Sequence[int], name: str) -> tuple[RawSplits, list[str]]:
    """Adds, drops or moves axes until the examples have the declared shape.

    Axes of length one are added and dropped, and channels move from the last place to the first. Other changes are
    ambiguous and refused.

    Returns:
        The splits, and lines for the log.

    Raises:
        DataError: names both shapes and what to set.
    """
    changed = {}
    notes = []
    for split_name, split in zip(NAMES, splits, strict=True):
        x = _conform_shape(split.stored, tuple(shape), name)
        if x is not split.stored:
            note = f"{name}: examples of {list(split.stored.shape[1:])} are read as {list(shape)}"
            notes += [note] if note not in notes else []
            split = split._replace(x=OnDisk(x) if isinstance(split.x, OnDisk) else x)
        changed[split_name] = split
    return RawSplits(**changed, about=splits.about, notes=splits.notes), notes


def _conform_shape(x: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
    current = tuple(x.shape[1:])
    if current == shape:
        return x
    if [n for n in current if n != 1] == [n for n in shape if n != 1]:
        return x.reshape(len(x), *shape)
    if len(current) == len(shape) == 3 and current[2:] + current[:2] == shape:
        return x.movedim(-1, 1)
    if x[:1].numel() == torch.Size(shape).numel():
        advice = f"save x.reshape(-1, {', '.join(map(str, shape))}), if that is the right order, or set"
    else:
        advice = "set"
    raise ShapeError(
        f"dataset.shape: declared {list(shape)}, but {name} has examples of {list(current)}: {advice} dataset.shape="
        f"[{','.join(map(str, current))}]",
        current,
    )


def conform_levels(splits: RawSplits, num_levels: int, name: str) -> tuple[RawSplits, list[str]]:
    """Reads floats as grey levels if they are whole numbers, or intensities k / (L - 1).

    Raises:
        DataError: the floats are neither; one line says what to set.
    """
    if isinstance(splits.train.x, OnDisk) or not splits.train.x.is_floating_point():
        return splits, []
    scale = _find_scale(splits.train.x, num_levels)
    converted = {}
    for split_name, split in zip(NAMES, splits, strict=True):
        if scale is None or not _are_levels(split.stored * scale, num_levels):
            raise DataError(_describe_floats(split.stored, num_levels, name))
        converted[split_name] = split._replace(x=(split.stored * scale).round().to(torch.uint8))
    kind = "whole numbers" if scale == 1 else "intensities in [0, 1]"
    note = f"{name}: floats that are {kind} are read as {num_levels} levels"
    return RawSplits(**converted, about=splits.about, notes=splits.notes), [note]


def _find_scale(x: Tensor, num_levels: int) -> int | None:
    """Finds the factor that turns floats into levels, or None; values up to 1 are intensities."""
    scale = num_levels - 1 if x.numel() and x.max() <= 1 else 1
    return scale if _are_levels(x * scale, num_levels) else None


def _are_levels(x: Tensor, num_levels: int) -> bool:
    is_near = (x - x.round()).abs() <= LEVEL_TOLERANCE  # NaN is near no level
    return bool((is_near & (x > -0.5) & (x < num_levels - 0.5)).all())


def describe_reals(x: Tensor) -> str:
    """Describes the range of real numbers, as in `real numbers from -1 to 2.5 and NaN`."""
    low, high = _find_range(x)
    return f"real numbers from {low:.4g} to {high:.4g}" + ("" if bool(x.isfinite().all()) else " and NaN")


def _find_range(x: Tensor) -> tuple[float, float]:
    """Returns the lowest and the highest finite value, NaN without one."""
    finite = x[x.isfinite()]
    return (finite.min().item(), finite.max().item()) if len(finite) else (math.nan, math.nan)


def _describe_floats(x: Tensor, num_levels: int, name: str) -> str:
    low, high = _find_range(x)
    problem = f"dataset.num_levels={num_levels}: {name} holds {describe_reals(x)}, not grey levels"
    as_density = "for their density set dataset.num_levels=null dataset.binarize=none likelihood=gaussian"
    if low >= 0 and high <= 1:
        rounded = f"np.round(x * {num_levels - 1}).astype(np.uint8)"
        return f"{problem}: {as_density}; for images save {rounded} instead"
    return f"{problem}: {as_density}"


def check_levels(x: Tensor, num_levels: int, name: str) -> list[str]:
    """Refuses levels that contradict their declared number, because the images would be nearly black.

    Args:
        x: training examples, uint8, below `num_levels`.
        num_levels: declared number of levels.
        name: name of the data set.

    Returns:
        Lines for the log about dark images that are possible.

    Raises:
        DataError: the images are too dark; the message names the levels and what to set.
    """
    counts = torch.bincount(x.flatten(), minlength=num_levels)
    used = counts.nonzero().flatten().tolist()
    top = used[-1]
    if num_levels == 2 or top == num_levels - 1:
        return []
    if top == 0:
        return [f"{name}: all checked training values are zero"]
    if len(used) <= 2:
        listed = " and ".join(map(str, used))
        fix = "set dataset.num_levels=2 dataset.binarize=none" if top == 1 else "save them as 0 and 1"
        raise DataError(f"dataset.num_levels={num_levels}: {name} has no values but {listed}: {fix}")
    if top < MIN_BRIGHTNESS * (num_levels - 1):
        raise DataError(
            f"dataset.num_levels={num_levels}: the highest value of {name} is {top}, which would be dark grey: set "
            f"dataset.num_levels={top + 1}, or scale the images"
        )
    if 2 * top < num_levels - 1:
        return [f"{name}: the highest of {num_levels} levels in use is {top}: the images are dark"]
    return []


def check_labels(y: Tensor | None, num_classes: int, split: str, name: str) -> None:
    """Refuses labels that are missing or out of range.

    Args:
        y: labels of a split, (N,), where -1 is no label; None for none.
        num_classes: declared number of classes.
        split: name of the split.
        name: name of the data set.

    Raises:
        DataError: the labels contradict the number of classes; the message says what to set.
    """
    if y is None:
        raise DataError(f"dataset.num_classes: the {split} split of {name} has no labels: set it to null")
    low = int(y.min())
    high = int(y.max())
    if not -1 <= low <= high < num_classes:
        raise DataError(
            f"dataset.num_classes: {num_classes} declared, but {name} has labels from {low} to {high}; -1 is no label"
        )
    if split == "train" and high < 0:
        raise DataError(f"dataset.num_classes: no training example of {name} has a label: set it to null")


def check_values(x: Tensor, num_levels: int | None, split: str, name: str) -> None:
    """Refuses values that contradict the declared levels, and real values that are infinite or all missing.

    Args:
        x: values of a split, (N, *shape).
        num_levels: declared number of levels; None for real values.
        split: name of the split.
        name: name of the data set.

    Raises:
        DataError: the message says what to set.
    """
    if num_levels is None:
        _check_real_values(x, split, name)
    elif x.dtype != torch.uint8:
        raise DataError(f"dataset.num_levels={num_levels}: {name} holds real values: set it to null")
    elif int(x.max()) >= num_levels:
        top = int(x.max())
        used = x.unique().tolist() if num_levels == 2 else []
        fix = f"dataset.num_levels={256 if top > 127 else top + 1}"
        fix += " dataset.binarize=threshold" if used in ([0, top], [top]) else ""
        problem = f"{num_levels} levels declared, but {name} has values up to {top}"
        raise DataError(f"dataset.num_levels: {problem}: set {fix}")


def _check_real_values(x: Tensor, split: str, name: str) -> None:
    if x.dtype == torch.uint8:
        raise DataError(
            f"dataset.num_levels: {name} holds integers, which are grey levels: set dataset.num_levels=256, or save "
            "them as floats, x.astype(float), if they are numbers"
        )
    if any(bool(part.isinf().any()) for part in x.split(BLOCK_SIZE)):
        raise DataError(f"dataset: the {split} split of {name} holds infinite values: remove them")
    if bool(x.isnan().all()):
        raise DataError(f"dataset: all values of the {split} split of {name} are missing (NaN): check the file")
