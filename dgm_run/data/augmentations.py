"""Augmentations: random changes of training images, drawn anew for every batch.

They act on the values of the data set, before binarisation, noise and standardisation. All draws come from torch's
generators, which the training keys by seed and step (`rng.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run import rng
from dgm_run.config.bounds import COUNT, Range
from dgm_run.data.corruptions import Corruption, Missing
from dgm_run.recording.estimate_id import AUGMENTED


class Augmentation(ABC):
    """Random change of images that keeps what they show.

    Attributes:
        moves_pixels: whether all values are those of pixels of the image, or of a constant border.
    """

    moves_pixels: ClassVar[bool] = True

    def check(self, shape: Sequence[int]) -> None:  # noqa: B027 - most take any image
        """Raises a ValueError if images of this shape, (C, H, W), cannot be changed."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Changes images, (B, C, H, W), each by a draw of its own; shape, type and device stay.

        Args:
            x: grey levels as uint8, or floats in the units of the data. NaN is a missing value.
        """

    def __str__(self) -> str:
        settings = ", ".join(f"{name} {value}" for name, value in vars(self).items())
        name = type(self).__name__.lower()
        return f"{name} ({settings})" if settings else name


class Flip(Augmentation):
    """Mirrors images, each with probability `probability`; under `both` the two axes are drawn apart.

    Args:
        axis: horizontal (left and right change places) | vertical | both.
        probability: probability of each axis.
    """

    def __init__(self, axis: Literal["horizontal", "vertical", "both"], probability: float):
        self.axis = axis
        self.probability = probability

    def __call__(self, x: Tensor) -> Tensor:
        for dim in {"horizontal": (3,), "vertical": (2,), "both": (2, 3)}[self.axis]:
            is_flipped = _draw_uniform(x) < self.probability
            x = torch.where(is_flipped.view(-1, 1, 1, 1), x.flip(dim), x)
        return x


class Shift(Augmentation):
    """Moves images by whole pixels, up to `max_shift` in each direction.

    The positions are those of torchvision's `RandomCrop(size, padding=max_shift)` for images of that size.

    Args:
        max_shift: largest shift along each axis, pixels.
        fill: zero (the value 0 of the data, black) | edge (the nearest pixel), for the border.
    """

    def __init__(self, max_shift: Annotated[int, COUNT], fill: Literal["zero", "edge"]):
        self.max_shift = max_shift
        self.fill = fill

    def check(self, shape: Sequence[int]) -> None:
        if self.max_shift >= min(shape[1:]):
            raise ValueError(f"max_shift = {self.max_shift} must be less than {min(shape[1:])}, the image's side")

    def __call__(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        rows = self._draw_sources(len(x), height, x.device)
        columns = self._draw_sources(len(x), width, x.device)
        index = rows.clamp(0, height - 1).unsqueeze(2) * width + columns.clamp(0, width - 1).unsqueeze(1)  # (B, H, W)
        index = index.view(len(x), 1, -1).expand(-1, x.shape[1], -1)
        moved = x.flatten(2).gather(2, index).view_as(x)
        if self.fill == "edge":
            return moved
        is_row_outside = (rows < 0) | (rows >= height)
        is_column_outside = (columns < 0) | (columns >= width)
        return moved.masked_fill((is_row_outside.unsqueeze(2) | is_column_outside.unsqueeze(1)).unsqueeze(1), 0)

    def _draw_sources(self, num: int, size: int, device: torch.device) -> Tensor:
        """Draws the positions that the pixels of an axis come from, (B, size); some lie outside the image."""
        shift = torch.randint(-self.max_shift, self.max_shift + 1, (num, 1), device=device)
        return torch.arange(size, device=device) - shift


class Crop(Augmentation):
    """Cuts out a part of the image at a random place, and enlarges it to the size of the image, bilinearly.

    The part has the image's aspect ratio. Its area is uniform on [min_area, 1], as a share of the image's area. Grey
    levels are rounded to whole levels.

    Args:
        min_area: smallest area.
    """

    moves_pixels = False

    def __init__(self, min_area: Annotated[float, Range(0, 1, above=True, below=True)]):
        self.min_area = min_area

    def __call__(self, x: Tensor) -> Tensor:
        values = x if x.is_floating_point() else x.to(torch.get_default_dtype())
        side = (self.min_area + (1 - self.min_area) * _draw_uniform(values)).sqrt()  # share of the image's side, (B,)
        rows = _draw_coordinates(side, x.shape[2])
        columns = _draw_coordinates(side, x.shape[3])
        grid = torch.stack(torch.broadcast_tensors(columns.unsqueeze(1), rows.unsqueeze(2)), 3)  # (B, H, W, 2)
        cropped = F.grid_sample(values, grid, padding_mode="border", align_corners=False)
        return cropped if x.is_floating_point() else cropped.round().to(x.dtype)


def _draw_uniform(x: Tensor) -> Tensor:
    """Draws a number on [0, 1) for each image, (B,); in the type of x for floats, else in the default type."""
    dtype = x.dtype if x.is_floating_point() else torch.get_default_dtype()
    return rng.uniform_like(torch.empty(len(x), dtype=dtype, device=x.device))


def _draw_coordinates(side: Tensor, size: int) -> Tensor:
    """Draws a place for a part of an axis, and returns the coordinates of its pixels, (B, size), in [-1, 1].

    Args:
        side: length of the part, as a share of the axis, (B,).
        size: number of pixels of the axis, and of the part after it is enlarged.
    """
    centre = (1 - side) * (2 * rng.uniform_like(side) - 1)
    pixels = (2 * torch.arange(size, dtype=side.dtype, device=side.device) + 1) / size - 1
    return centre.unsqueeze(1) + side.unsqueeze(1) * pixels


class AugmentationChain:
    """Augmentations in their order, on images with or without missing values.

    Args:
        augmentations: augmentations by name.
        shape: shape of the data, which must be images.
        binarize: binarisation of the data.
        corrupt: corruption of the data; None for none.

    Raises:
        ValueError: the data cannot be augmented so; one line says what to set.
    """

    def __init__(
        self, augmentations: Mapping[str, Augmentation], shape: Sequence[int], binarize: str, corrupt: Corruption | None
    ):
        if not isinstance(augmentations, Mapping):
            raise ValueError(f"augment = {augmentations}: write the group with a slash, as in dataset/augment=[flip]")
        if len(shape) != 3:
            raise ValueError(
                f"augment: it needs images, [channels, height, width], and shape = {list(shape)} is none: drop "
                "dataset/augment"
            )
        if corrupt and not isinstance(corrupt, Missing):
            raise ValueError(
                f"augment: {type(corrupt).__name__} is noise of each pixel, drawn once, which cannot move with the "
                "image: drop dataset/augment, or choose missing values as dataset/corrupt"
            )
        for name, each in augmentations.items():
            _check_augmentation(name, each, shape, binarize)
        self.augmentations = tuple(augmentations.values())

    def __call__(self, x: Tensor, missing: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Augments images; missing values move with them.

        Args:
            x: values of the data set, (B, C, H, W).
            missing: mask of missing values, (B, 1 or C, H, W); None for none. Values below it have no effect.

        Returns:
            Images in the type of x, and the mask that belongs to them, (B, C, H, W). A border is not missing.
        """
        values = x
        if missing is not None:  # NaN, so that a value interpolated from a missing one is missing
            values = (x if x.is_floating_point() else x.to(torch.get_default_dtype())).masked_fill(missing, torch.nan)
        for augment in self.augmentations:
            values = augment(values)
        if missing is None:
            return values, None
        missing = values.isnan()
        return (values if x.is_floating_point() else values.nan_to_num(0.0).round().to(x.dtype)), missing

    def __str__(self) -> str:
        return AUGMENTED + ", ".join(map(str, self.augmentations))


def _check_augmentation(name: str, augmentation: Augmentation, shape: Sequence[int], binarize: str) -> None:
    if not isinstance(augmentation, Augmentation):
        raise ValueError(
            f"augment.{name}: {type(augmentation).__name__} is no Augmentation: derive it from "
            f"{Augmentation.__module__}.{Augmentation.__name__}"
        )
    if binarize == "fixed" and not augmentation.moves_pixels:
        raise ValueError(
            f"augment.{name}: it makes new grey levels, and binarize=fixed draws each pixel once: set "
            "dataset.binarize=dynamic or threshold, or leave it out"
        )
    try:
        augmentation.check(shape)
    except ValueError as error:
        raise ValueError(f"augment.{name}: {error}") from None
