"""Pictures of runs: those that configurations are compared by, and their place inside a page or beside it."""

import base64
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from dgm_run.report.groups import Group, name_groups

COMPARED_PICTURES = ("samples", "samples_drawn", "reconstructions")
"""Names of the pictures by which all configurations are compared."""
MAX_RUNS_INSIDE = 30
"""Largest number of runs whose pictures are inside the page."""
MIN_PIXELS = 256
"""Least width in pixels at which a picture is shown; smaller ones are enlarged by a whole factor."""


def collect_last_pictures(groups: Sequence[Group], name: str) -> list[tuple[Group, str, Path]]:
    """Returns the groups whose first run has such a picture, with a short name of each, and the last picture."""
    shown = [(group, files[-1]) for group in groups if (files := group.runs[0].pictures(name))]
    names = name_groups([group for group, _ in shown])
    return [(group, each, file) for (group, file), each in zip(shown, names, strict=True)]


@dataclass(frozen=True)
class PictureStore:
    """Pictures of a page.

    Attributes:
        folder: folder of the page.
        are_inside: whether the page holds the pictures itself; else it refers to their files in the run folders.
    """

    folder: Path
    are_inside: bool

    def render(self, file: Path) -> str:
        """Renders a PNG file as an image; a file that cannot be read as the reason."""
        try:
            data = file.read_bytes()
        except OSError as error:
            return f"<p>{escape(str(error))}</p>"
        source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
        if not self.are_inside:
            source = quote_path(file.relative_to(self.folder).as_posix())
        return f'<img src="{source}" alt="{escape(file.name)}" loading=lazy{_write_size(data)}>'


def quote_path(path: str) -> str:
    """Returns a path as an address; a path may hold bytes that are no text."""
    return quote(os.fsencode(path))


def _write_size(png: bytes) -> str:
    """Writes the size at which a picture is shown, so that the text below it does not move."""
    if len(png) < 24 or png[12:16] != b"IHDR":
        return ""
    width, height = struct.unpack(">II", png[16:24])
    scale = max(1, round(MIN_PIXELS / max(width, 1)))
    return f" width={width * scale} height={height * scale}"
