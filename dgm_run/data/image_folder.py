"""A folder of images, with all folders below it."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dgm_run.data.download import one_line
from dgm_run.data.on_disk import OnDisk, as_tensor, mapped
from dgm_run.data.splits import Split, Splits, split_sizes
from dgm_run.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")


class ImageFolder:
    """All images, sorted by their path, shuffled under `split_seed` and split.

    They are kept in memory; or decoded once into a file, of which the training examples are read as they are needed.

    Args:
        path: the folder.
        shape: (1, H, W) for grey images or (3, H, W) for colour; every image is scaled to it, not cropped.
        num_valid: images for validation.
        num_test: images for the test set.
        split_seed: of the shuffle.
        decoded: folder for that file, which is made anew when the images change; null to keep them in memory.
    """

    is_users_own = True  # and may change from one run to the next

    def __init__(
        self,
        path: str,
        shape: Sequence[int],
        num_valid: int,
        num_test: int,
        split_seed: int,
        decoded: str | None,
    ):
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise ValueError(f"shape {list(shape)}: images are [1, H, W] (grey) or [3, H, W] (colour)")
        self.path, self.shape = path, tuple(shape)
        self.num_valid, self.num_test, self.split_seed = num_valid, num_test, split_seed
        self.decoded = decoded

    def __call__(self) -> Splits:
        folder = Path(self.path).expanduser().resolve()
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; set dataset.source.path to a folder of images")
        paths = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
        if not paths:
            raise DataError(f"{folder}: holds no image, nor do the folders below; known are {' '.join(SUFFIXES)}")
        paths.sort(key=lambda path: path.relative_to(folder).as_posix())  # a listing has no order
        order = torch.randperm(len(paths), generator=torch.Generator().manual_seed(self.split_seed))
        paths = [paths[i] for i in order.tolist()]
        if self.decoded is None:
            x = torch.stack([_read(path, *self.shape) for path in paths])
            return split_sizes(x, None, self.num_valid, self.num_test)
        train, valid, test = split_sizes(as_tensor(self._decode(paths)), None, self.num_valid, self.num_test)
        return Splits(Split(OnDisk(train.x)), Split(valid.x.clone()), Split(test.x.clone()))

    def _decode(self, paths: Sequence[Path]) -> np.ndarray:
        """All images in one mapped file, (N, *shape), in this order."""
        seen = "\n".join(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths)
        name = hashlib.sha256(f"{self.shape}\n{seen}".encode()).hexdigest()[:16]
        file = Path(self.decoded).expanduser() / f"{Path(self.path).name}_{name}.npy"
        if not file.exists():
            part = file.with_suffix(f".{os.getpid()}.part")
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), *self.shape)}
                with open(part, "wb") as out:  # not through a mapping: a full disk would kill the process
                    np.lib.format.write_array_header_2_0(out, header)
                    out.writelines(_read(path, *self.shape).numpy().tobytes() for path in paths)
                os.replace(part, file)
            except OSError as error:
                raise DataError(f"dataset.source.decoded: cannot write {file}: {one_line(error)}") from None
            finally:
                with suppress(OSError):
                    part.unlink()
        return mapped(file)


def _read(path: Path, channels: int, height: int, width: int) -> Tensor:
    """One image as levels (C, H, W)."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            if image.mode[0] in "IF":  # PIL would clip, not scale, their values
                raise DataError(f"{path}: has more than 8 bits a pixel; convert it to 8 bits first")
            upright = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
            pixels = upright.resize((width, height)).tobytes()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({one_line(error)})") from None
    levels = torch.frombuffer(bytearray(pixels), dtype=torch.uint8)
    return levels.reshape(height, width, channels).movedim(2, 0)
