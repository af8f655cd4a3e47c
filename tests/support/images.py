"""Image files of all kinds, and their folder as a source."""

import struct
import zlib

import numpy as np
from PIL import Image

from dgm_run.data.sources.image_folder import ImageFolder


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)


SETTINGS = {
    "num_levels": 256,
    "num_classes": None,
    "labels": None,
    "fit": "stretch",
    "background": 255,
    "num_valid": 0,
    "num_test": 0,
    "split_seed": 0,
    "decoded": None,
}


def load(folder, shape=(3, 4, 6), **settings):
    return ImageFolder(str(folder), shape, **(SETTINGS | settings))()


def draw(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def write_png(path, depth, colour_type, rows, key=None):
    """A file of a kind that PIL does not write: grey (0) or colour (2) with a key for what is transparent."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    width = 8 * len(rows[0]) // depth // (3 if colour_type == 2 else 1)
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour_type, 0, 0, 0)
    transparency = b"" if key is None else chunk(b"tRNS", struct.pack(f">{len(key)}H", *key))
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + transparency + data + chunk(b"IEND", b""))


def transparent(mode):
    """An image of 4 x 6 black pixels, the left half of which is transparent."""
    alpha = np.full((4, 6), 255, np.uint8)
    alpha[:, :3] = 0
    image = Image.fromarray(np.dstack([np.zeros((4, 6, 3), np.uint8), alpha]))
    if mode != "P":
        return image.convert(mode)
    palette = Image.fromarray((alpha == 0).astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 0, 0, 0])
    palette.info["transparency"] = 1
    return palette
