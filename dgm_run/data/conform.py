"""Brings a user's arrays to the declared shape and levels, or refuses them in one line that says what to write."""

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
        stored = split.x.x if isinstance(split.x, OnDisk) else split.x
        x = _conform_shape(stored, tuple(shape), name)
        if x is not stored:
            note = f"{name}: examples of {list(stored.shape[1:])} are read as {list(shape)}"
            notes += [note] if note not in notes else []
            split = split._replace(x=OnDisk(x) if isinstance(split.x, OnDisk) else x)
        changed[split_name] = split
    return RawSplits(**changed, about=splits.about, notes=splits.notes), notes


def _conform_shape(x: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
    found = tuple(x.shape[1:])
    if found == shape:
        return x
    if [n for n in found if n != 1] == [n for n in shape if n != 1]:
        return x.reshape(len(x), *shape)
    if len(found) == len(shape) == 3 and found[2:] + found[:2] == shape:
        return x.movedim(-1, 1)
    if x[:1].numel() == torch.Size(shape).numel():
        advice = f"save x.reshape(-1, {', '.join(map(str, shape))}), if that is the right order, or set"
    else:
        advice = "set"
    raise DataError(
        f"dataset.shape: declared {list(shape)}, but {name} has examples of {list(found)}: {advice} dataset.shape="
        f"[{','.join(map(str, found))}]"
    )


def conform_levels(splits: RawSplits, num_levels: int, name: str) -> tuple[RawSplits, list[str]]:
    """Reads floats as grey levels if they are whole numbers, or intensities k / (L - 1).

    Raises:
        DataError: the floats are neither; one line says what to set.
    """
    if isinstance(splits.train.x, OnDisk) or not splits.train.x.is_floating_point():
        return splits, []
    scale = _find_scale(splits.train.x, num_levels)
    found = {}
    for split_name, split in zip(NAMES, splits, strict=True):
        if scale is None or not _are_levels(split.stored * scale, num_levels):
            raise DataError(_describe_floats(split.stored, num_levels, name))
        found[split_name] = split._replace(x=(split.stored * scale).round().to(torch.uint8))
    read = "whole numbers" if scale == 1 else "intensities in [0, 1]"
    note = f"{name}: floats that are {read} are read as {num_levels} levels"
    return RawSplits(**found, about=splits.about, notes=splits.notes), [note]


def _find_scale(x: Tensor, num_levels: int) -> int | None:
    """Finds the factor that turns floats into levels, or None; values up to 1 are intensities."""
    scale = num_levels - 1 if x.numel() and x.max() <= 1 else 1
    return scale if _are_levels(x * scale, num_levels) else None


def _are_levels(x: Tensor, num_levels: int) -> bool:
    near = (x - x.round()).abs() <= LEVEL_TOLERANCE  # NaN is near no level
    return bool((near & (x > -0.5) & (x < num_levels - 0.5)).all())


def _describe_floats(x: Tensor, num_levels: int, name: str) -> str:
    known = x[x.isfinite()]
    low, high = (f"{value:.4g}" for value in (known.min().item(), known.max().item())) if len(known) else ("nan", "nan")
    and_nan = " and NaN" if len(known) < x.numel() else ""
    problem = (
        f"dataset.num_levels={num_levels}: {name} holds real numbers from {low} to {high}{and_nan}, not grey levels"
    )
    as_density = "for their density set dataset.num_levels=null dataset.binarize=none likelihood=gaussian"
    if len(known) and known.min() >= 0 and known.max() <= 1:
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
