"""Images in a folder and in all folders below it."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dgm_run.data.download import format_error
from dgm_run.data.image_file import Fit, ImageReader, parse_colour
from dgm_run.data.memmap import OnDisk, as_tensor, map_array
from dgm_run.data.split import RawSplits, split_examples
from dgm_run.errors import DataError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
MAX_NAMED_CLASSES = 10
"""Largest number of classes that messages name one by one."""


class ImageFolder:
    """Images of a folder, sorted by path, shuffled under `split_seed` and split.

    They are kept in memory, or decoded once into a file from which training examples are read as needed. Hidden files
    and folders are skipped. Links are followed; a file that is reached twice is taken once.

    Args:
        path: folder of the images.
        shape: (1, H, W) for grey images or (3, H, W) for colour; every image is scaled to it.
        num_levels: levels of a pixel, to which images of 16 bits are scaled; null for 256.
        num_classes: number of declared classes, or null.
        labels: folders (the sorted names of the folders in `path` are the classes 0, 1, ...), or null for none.
        fit: stretch | crop | pad, for images of another aspect ratio; crop keeps the centre.
        background: colour behind transparent pixels and of the padding: a grey level 0 .. 255, or red, green and blue.
        num_valid: images for validation; null for a tenth, at most 1,000.
        num_test: images for the test set, as `num_valid`.
        split_seed: seed of the shuffle.
        decoded: folder for the file of decoded images, which is made again when the images or these settings change;
            null to keep the images in memory.
    """

    is_users_own = True  # the files may change from one run to the next

    def __init__(
        self,
        path: str,
        shape: Sequence[int],
        num_levels: int | None,
        num_classes: int | None,
        labels: Literal["folders"] | None,
        fit: Fit,
        background: int | Sequence[int],
        num_valid: int | None,
        num_test: int | None,
        split_seed: int,
        decoded: str | None,
    ):
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise ValueError(f"shape {list(shape)}: images are [1, H, W] (grey) or [3, H, W] (colour)")
        if num_levels is not None and num_levels > 256:
            raise ValueError(f"num_levels = {num_levels}: images have at most 256, to which 16 bits are scaled")
        self.path = path
        self.num_classes = num_classes
        self.labels = labels
        channels, height, width = shape
        self.reader = ImageReader((channels, height, width), num_levels or 256, fit, parse_colour(background))
        self.num_valid = num_valid
        self.num_test = num_test
        self.split_seed = split_seed
        self.decoded = decoded

    def __call__(self) -> RawSplits:
        folder = Path(self.path).expanduser().resolve()
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; set dataset.source.path to a folder of images")
        files = _find_files(folder)
        if not files.paths:
            hidden = f" ({files.num_hidden:,} hidden skipped)" if files.num_hidden else ""
            raise DataError(
                f"{folder}: holds no image{hidden}, nor do the folders below; known are {' '.join(IMAGE_SUFFIXES)}"
            )
        paths = sorted(files.paths, key=lambda path: path.relative_to(folder).as_posix())  # a listing has no order
        order = torch.randperm(len(paths), generator=torch.Generator().manual_seed(self.split_seed))
        paths = [paths[i] for i in order.tolist()]
        y, class_notes = self._label_files(paths, files.repeated, folder)
        if self.decoded is None:
            changes: Counter[str] = Counter()
            x = torch.stack(list(self._read(paths, changes)))
            splits = split_examples(x, y, self.num_valid, self.num_test)
        else:
            decoded, changes = self._decode(paths, self.decoded)
            train, valid, test = split_examples(as_tensor(decoded), y, self.num_valid, self.num_test)
            valid, test = (split._replace(x=split.stored.clone()) for split in (valid, test))
            splits = RawSplits(train._replace(x=OnDisk(train.stored)), valid, test)
        counts = {"hidden skipped": files.num_hidden, "linked twice and taken once": len(files.repeated), **changes}
        done = ", ".join(f"{count:,} {change}" for change, count in counts.items() if count)
        file_notes = (f"image_folder: {len(paths):,} files: {done}",) if done else ()
        return replace(splits, about=", ".join(sorted(changes)), notes=(*file_notes, *class_notes))

    def _read(self, paths: Sequence[Path], changes: Counter[str]) -> Iterator[Tensor]:
        for path in paths:
            levels, done = self.reader.read(path)
            changes.update(done)
            yield levels

    def _label_files(
        self, paths: Sequence[Path], repeated: Mapping[Path, Path], folder: Path
    ) -> tuple[Tensor | None, tuple[str, ...]]:
        """Returns labels of the files, and a line for the log with the names of the classes."""
        if self.labels is None:
            if self.num_classes is not None:
                raise DataError(
                    f"dataset.num_classes: {self.num_classes} declared, and images have no labels by themselves: set "
                    "dataset.source.labels=folders, or dataset.num_classes=null"
                )
            return None, ()
        relative_parts = [path.relative_to(folder).parts for path in paths]
        for parts in relative_parts:
            if len(parts) == 1:
                raise DataError(
                    f"{folder / parts[0]}: lies in no folder of a class, which dataset.source.labels=folders needs: "
                    "move it into one, or set dataset.source.labels=null"
                )
        for path, first in repeated.items():
            if path.relative_to(folder).parts[0] != first.relative_to(folder).parts[0]:
                raise DataError(f"{path}: it is the same file as {first}, of another class: remove the link")
        sizes = Counter(parts[0] for parts in relative_parts)
        names = sorted(sizes)
        if len(names) <= MAX_NAMED_CLASSES:
            listed = ", ".join(f"{k} {name} ({sizes[name]:,})" for k, name in enumerate(names))
        else:
            listed = f"0 {names[0]}, 1 {names[1]}, ..., {len(names) - 1} {names[-1]}"
        if len(names) != self.num_classes:
            declared = "null" if self.num_classes is None else self.num_classes
            raise DataError(
                f"dataset.num_classes: {declared} declared, but {folder} has {len(names)} folders with images "
                f"({listed}): set dataset.num_classes={len(names)}"
            )
        numbers = {name: k for k, name in enumerate(names)}
        y = torch.tensor([numbers[parts[0]] for parts in relative_parts])
        return y, (f"image_folder: {len(names)} classes: {listed}",)

    def _decode(self, paths: Sequence[Path], folder: str) -> tuple[np.ndarray, Counter[str]]:
        """Decodes all images into one mapped file, (N, *shape), beside a file with the counts of changes."""
        files = "\n".join(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths)
        name = hashlib.sha256(f"{self.reader}\n{files}".encode()).hexdigest()[:16]
        file = Path(folder).expanduser() / f"{Path(self.path).name}_{name}.npy"
        counts_file = file.with_suffix(".json")
        if not (file.exists() and counts_file.exists()):
            part = file.with_suffix(f".npy.{os.getpid()}.part")
            counts_part = file.with_suffix(f".json.{os.getpid()}.part")
            changes: Counter[str] = Counter()
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                shape = (len(paths), *self.reader.shape)
                with open(part, "wb") as out:  # not through a mapping: a full disk would kill the process
                    np.lib.format.write_array_header_2_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
                    out.writelines(levels.numpy().tobytes() for levels in self._read(paths, changes))
                counts_part.write_text(json.dumps(changes))
                os.replace(counts_part, counts_file)
                os.replace(part, file)
            except OSError as error:
                raise DataError(f"dataset.source.decoded: cannot write {file}: {format_error(error)}") from None
            finally:
                for each in (part, counts_part):
                    with suppress(OSError):
                        each.unlink()
        return map_array(file), Counter(json.loads(counts_file.read_text()))


@dataclass
class _Files:
    """Image files below a folder.

    Attributes:
        paths: each real file once.
        num_hidden: image files and folders that were skipped because they are hidden.
        repeated: path of each file or folder that was reached before, with its first path.
    """

    paths: list[Path] = field(default_factory=list)
    num_hidden: int = 0
    repeated: dict[Path, Path] = field(default_factory=dict)


def _find_files(folder: Path) -> _Files:
    """Lists the images in and below a folder, through links, in the order of their names.

    Raises:
        DataError: a link leads nowhere or to a folder that holds it, or a folder cannot be listed.
    """
    files = _Files()
    reached = {str(folder): folder}

    def visit(folder: Path, real_folder: str, ancestors: tuple[str, ...]) -> None:
        """Visits a folder, which a link may show under another path than its real one."""
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            path = Path(entry.path)
            is_image = path.suffix.lower() in IMAGE_SUFFIXES
            is_folder = os.path.isdir(path)
            if entry.name.startswith(".") or entry.name == "__MACOSX":  # resource forks of macOS among them
                files.num_hidden += is_image or is_folder
                continue
            target = os.path.realpath(path) if entry.is_symlink() else os.path.join(real_folder, entry.name)
            if entry.is_symlink() and not os.path.exists(path) and (is_image or not path.suffix):
                raise DataError(f"{path}: links to {target}, which does not exist: repair or remove the link")
            if target in ancestors:
                raise DataError(f"{path}: links to {target}, which holds the link itself: remove the link")
            if not is_folder and not (is_image and os.path.isfile(path)):
                continue
            if target in reached:
                files.repeated[path] = reached[target]
                continue
            reached[target] = path
            if is_folder:
                visit(path, target, (*ancestors, target))
            else:
                files.paths.append(path)

    try:
        visit(folder, str(folder), (str(folder),))
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({format_error(error)})") from None
    return files
