"""Labels beside the rows of a grid of images, and a scale of colours below it."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dgm_run.recording.image_grid import draw_grid

FONT_SIZE = 12
MARGIN = 4
"""Distance of text from a picture, in pixels."""
BAR_HEIGHT = 8
ALTERNATING = {
    "reconstructions": ("example", "reconstruction"),
    "nearest_neighbours": ("sample", "nearest example"),
}
"""Labels of pictures whose rows alternate."""
NUMBERED = {"traversals": "dimension", "by_class": "class"}
"""Label of pictures with a row for each number, from 0 on."""


def draw_labelled_grid(name: str, x: Tensor, columns: int, labels: Sequence[str] = ()) -> np.ndarray:
    """Draws images in rows as `draw_grid` does, with labels beside the rows.

    Args:
        name: name of the picture.
        x: images, (N, C, H, W) in [0, 1]; a last row that is not full leaves the picture without labels.
        columns: images in a row.
        labels: labels of equal parts of the rows; without them those that the name implies.
    """
    num_rows, rest = divmod(len(x), columns)
    labels = labels or label_rows(name, num_rows)
    fits = bool(labels) and not rest and num_rows % len(labels) == 0
    picture = draw_grid(x, columns)
    return add_row_labels(picture, labels) if fits else picture


def label_rows(name: str, num_rows: int) -> list[str]:
    """Returns the labels of the rows of a picture by its name; none for a picture whose rows are alike."""
    if name in ALTERNATING:
        return [*ALTERNATING[name]] * (num_rows // 2)
    return [f"{NUMBERED[name]} {i}" for i in range(num_rows)] if name in NUMBERED else []


def add_row_labels(picture: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Writes labels on white, to the left of equal parts of the height of a picture.

    Args:
        picture: picture as bytes, (H, W, 3).
        labels: a label for each part, from the top.

    Returns:
        The wider picture, (H, W + width of the longest label, 3).
    """
    font = ImageFont.load_default(FONT_SIZE)
    width = max(round(font.getlength(label)) for label in labels) + 2 * MARGIN
    side = Image.new("RGB", (width, len(picture)), "white")
    draw = ImageDraw.Draw(side)
    for i, label in enumerate(labels):
        middle = (i + 0.5) * len(picture) / len(labels)
        draw.text((width - MARGIN, middle), label, fill="black", font=font, anchor="rm")
    return np.concatenate([np.asarray(side), picture], axis=1)


def colour_signed(x: Tensor) -> Tensor:
    """Colours grey images around 0.5: blue below, white at it, red above; (N, 1, H, W) to (N, 3, H, W).

    Images of three channels stay as they are.
    """
    if x.shape[1] == 3:
        return x
    signed = (2 * x - 1).clamp(-1, 1)
    return torch.cat([1 + signed.clamp(max=0), 1 - signed.abs(), 1 - signed.clamp(min=0)], 1)


def add_signed_scale(picture: np.ndarray, label: str) -> np.ndarray:
    """Draws the colours of `colour_signed` below a picture, from minus `label` to plus `label`: (H, W, 3) bytes."""
    width = picture.shape[1]
    values = torch.linspace(0, 1, width).expand(1, 1, BAR_HEIGHT, width)
    bar = (255 * colour_signed(values)[0].permute(1, 2, 0)).round().byte().numpy()
    font = ImageFont.load_default(FONT_SIZE)
    below = Image.new("RGB", (width, FONT_SIZE + 2 * MARGIN), "white")
    draw = ImageDraw.Draw(below)
    for at, text, anchor in ((MARGIN, f"-{label}", "lm"), (width / 2, "0", "mm"), (width - MARGIN, f"+{label}", "rm")):
        draw.text((at, below.height / 2), text, fill="black", font=font, anchor=anchor)
    gap = np.full((MARGIN, width, 3), 255, np.uint8)
    return np.concatenate([picture, gap, bar, np.asarray(below)])
