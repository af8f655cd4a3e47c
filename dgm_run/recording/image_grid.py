"""Draws images as grids, and writes PNG files."""

import io
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def is_image(shape: tuple[int, ...]) -> bool:
    """Returns whether a shape is (1, H, W) or (3, H, W)."""
    return len(shape) == 3 and shape[0] in (1, 3)


def draw_grid(x: Tensor, columns: int | None = None, pad: int = 1, min_side: int = 32) -> np.ndarray:
    """Draws images, (N, C, H, W) in [0, 1], in rows of `columns` with `pad` grey pixels between.

    Images smaller than `min_side` pixels are enlarged by a whole factor.

    Returns:
        Picture as bytes, (height, width, 3).
    """
    x = x.detach().float().cpu().nan_to_num(0).clamp(0, 1)
    scale = max(1, math.ceil(min_side / max(x.shape[-2:])))
    x = x.repeat_interleave(scale, -2).repeat_interleave(scale, -1).expand(-1, 3, -1, -1)
    n, _, height, width = x.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    canvas = torch.full((3, rows * (height + pad) + pad, columns * (width + pad) + pad), 0.5)
    for i in range(n):
        row, column = divmod(i, columns)
        top = row * (height + pad) + pad
        left = column * (width + pad) + pad
        canvas[:, top : top + height, left : left + width] = x[i]
    return (canvas.permute(1, 2, 0) * 255).round().byte().numpy()


def interleave_rows(top: Tensor, bottom: Tensor, columns: int) -> Tensor:
    """Interleaves two sets of images in rows of `columns`: a row of the first above its row of the second."""
    chunks = zip(top.split(columns), bottom.split(columns), strict=True)
    return torch.cat([image for pair in chunks for image in pair])


def fill_missing_with_grey(x: Tensor) -> Tensor:
    """Replaces missing elements, NaN, by grey."""
    return x.nan_to_num(0.5)


def encode_png(picture: np.ndarray) -> bytes:
    """Encodes a picture, (height, width, 3) bytes, as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def save_png(picture: np.ndarray, path: Path) -> None:
    """Writes a picture as a PNG file, and makes its folder."""
    write_png(encode_png(picture), path)


def write_png(png: bytes, path: Path) -> None:
    """Writes an encoded picture, and makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png)
