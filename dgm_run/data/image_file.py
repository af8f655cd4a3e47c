"""Reads an image file as levels of one shape."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageFile, ImageOps
from torch import Tensor

from dgm_run.data.download import format_error
from dgm_run.errors import DataError

Fit = Literal["stretch", "crop", "pad"]

_IMAGE_ERRORS = (
    *(OSError, ValueError, TypeError, SyntaxError, EOFError, IndexError, struct.error, zlib.error),
    Image.DecompressionBombError,
)
"""Exceptions that PIL raises for damaged files."""


@dataclass(frozen=True)
class ImageReader:
    """Reader of images of any kind as levels.

    Values of 8 bits are levels. Values of 16 bits, and floats in [0, 1], are scaled to 0 .. num_levels - 1.

    Args:
        shape: (1, H, W) for grey or (3, H, W) for colour.
        num_levels: levels of a pixel, at most 256.
        fit: treatment of another aspect ratio: stretch, crop at the centre, or pad.
        background: colour behind transparent pixels and of the padding: red, green and blue in 0 .. 255.
    """

    shape: tuple[int, int, int]
    num_levels: int
    fit: Fit
    background: tuple[int, int, int]

    def read(self, path: Path) -> tuple[Tensor, list[str]]:
        """Reads one file.

        Returns:
            Levels, (C, H, W) as uint8, and a text for each change besides scaling to H x W.

        Raises:
            DataError: the file is damaged, or its range is unknown; the message names the file.
        """
        changes: list[str] = []
        try:
            with Image.open(path) as image:
                source = _read_storage(image)
                if getattr(image, "is_animated", False):
                    changes.append("read as the first of several frames")
                upright = ImageOps.exif_transpose(image)
            eight_bits, scaled = _to_eight_bits(upright, source, path)
            visible, composed = self._compose(eight_bits)
            pixels, fitted = self._fit(visible.convert("L" if self.shape[0] == 1 else "RGB"))
        except _IMAGE_ERRORS as error:
            raise DataError(f"{path}: cannot be read as an image ({format_error(error)})") from None
        changes += [change for change in (scaled, composed, fitted) if change]
        levels = torch.frombuffer(bytearray(pixels.tobytes()), dtype=torch.uint8)
        if scaled and self.num_levels != 256:
            levels = (levels * ((self.num_levels - 1) / 255)).round().to(torch.uint8)
        channels, height, width = self.shape
        return levels.reshape(height, width, channels).movedim(2, 0), changes

    def _compose(self, image: Image.Image) -> tuple[Image.Image, str | None]:
        """Puts the background behind transparent pixels, where there are any."""
        if not image.has_transparency_data:
            return image, None
        colours = image.convert("RGBA")
        if colours.getchannel("A").getextrema()[0] == 255:
            return colours.convert("RGB"), None
        whole = Image.new("RGBA", image.size, (*self.background, 255))
        whole.alpha_composite(colours)
        return whole.convert("RGB"), f"composed on background {describe_colour(self.background)}"

    def _fit(self, image: Image.Image) -> tuple[Image.Image, str | None]:
        """Scales an image to height and width. Aspect ratios count as equal if they differ by less than a pixel."""
        _, height, width = self.shape
        w, h = image.size
        is_wider = w * height > h * width
        inner = (width, max(1, round(h * width / w))) if is_wider else (max(1, round(w * height / h)), height)
        if inner == (width, height):
            return image.resize((width, height)), None
        if self.fit == "stretch":
            return image.resize((width, height)), "stretched to another aspect ratio"
        if self.fit == "crop":
            kept_w, kept_h = (h * width / height, h) if is_wider else (w, w * height / width)
            left = (w - kept_w) / 2
            top = (h - kept_h) / 2
            return image.resize((width, height), box=(left, top, left + kept_w, top + kept_h)), "cropped at the centre"
        colour = Image.new("RGB", (1, 1), self.background).convert(image.mode).getpixel((0, 0))
        whole = Image.new(image.mode, (width, height), colour)
        whole.paste(image.resize(inner), ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return whole, f"padded with background {describe_colour(self.background)}"


def parse_colour(background: int | Sequence[int]) -> tuple[int, int, int]:
    """Returns red, green and blue of a grey level or a colour.

    Raises:
        ValueError: the value is neither.
    """
    colour = [background] * 3 if isinstance(background, int) else list(background)
    if len(colour) != 3 or not all(isinstance(level, int) and 0 <= level <= 255 for level in colour):
        raise ValueError(f"background = {background} must be a grey level in 0 .. 255, or three: red, green and blue")
    red, green, blue = colour
    return red, green, blue


def describe_colour(colour: Sequence[int]) -> str:
    return str(colour[0] if len(set(colour)) == 1 else list(colour))


def _read_storage(image: ImageFile.ImageFile) -> str:
    """Returns PIL's name for the storage of a pixel; "RGB;16B" has 16 bits a channel. Loading the image loses it."""
    arguments = image.tile[0][3] if image.tile else ""
    source = str(arguments if isinstance(arguments, str) else (arguments or ("",))[0])
    if image.format == "PPM" and image.mode == "I":
        return "I;16B"  # PIL scales the values of any PPM file to 16 bits
    return source


def _to_eight_bits(image: Image.Image, source: str, path: Path) -> tuple[Image.Image, str | None]:
    """Converts an image to 8 bits a channel, and describes the change. A transparent colour stays transparent.

    PIL itself clips values to 8 bits instead of scaling them.
    """
    depth = source.partition(";")[2]
    key = image.info.get("transparency")  # the grey level or colour that is transparent in a png
    if image.mode[0] not in "IF":
        if "16" in depth:
            if isinstance(key, tuple):
                raise DataError(f"{path}: has a transparent colour of 16 bits; convert it to 8 bits or to alpha first")
            return image, "read to the upper 8 of 16 bits"
        if image.mode == "L" and depth in ("2", "4") and isinstance(key, int):
            image.info["transparency"] = key * (255 // (2 ** int(depth) - 1))  # PIL scales the pixels and not the key
        return image, None
    values = np.asarray(image)
    if image.mode == "F":
        low, high = float(values.min()), float(values.max())
        if not 0 <= low <= high <= 1:
            raise DataError(
                f"{path}: has floats from {low:.3g} to {high:.3g}; scale them to [0, 1], or save 8 or 16 bits"
            )
        return Image.fromarray(np.rint(values * 255.0).astype(np.uint8)), "scaled from floats in [0, 1]"
    if image.mode == "I" and ("16" not in depth or "S" in depth):
        low, high = int(values.min()), int(values.max())
        raise DataError(
            f"{path}: has integers from {low} to {high} of no known range; convert it to 8 or 16 bits first"
        )
    grey = Image.fromarray(np.rint(values / 65535.0 * 255.0).astype(np.uint8))
    if isinstance(key, int):
        grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return grey, "scaled from 16 bits"
