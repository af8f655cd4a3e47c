"""Progress bar of a terminal."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Console

from dgm_run.recording import output


class Part(NamedTuple):
    """Part of the bar's line. If the line is too long, the part with the highest rank is dropped first."""

    rank: int
    text: str


class Bar:
    """Progress bar: one line of a terminal that is redrawn.

    The cursor waits at the beginning of the line. A narrower terminal may wrap the line. The next drawing clears the
    wrapped rest below the cursor.

    Args:
        console: console of a terminal.
    """

    def __init__(self, console: Console):
        self.console = console
        self.parts: list[Part] = []
        self._stream = output.guard(console.file)
        self._is_shown = False
        output.Output.before_write = self.clear

    def draw(self, parts: Sequence[Part]) -> None:
        """Draws the parts that the terminal has room for."""
        self.parts = [part for part in parts if part.text]
        self._stream.draw(f"\r{fit_line(self.parts, self._count_columns() - 1)}\x1b[J\r")
        self._stream.flush()
        self._is_shown = True

    def clear(self) -> None:
        """Clears the line until it is drawn again."""
        if self._is_shown:
            self._is_shown = False
            self._stream.draw("\r\x1b[J")

    def finish(self) -> None:
        """Draws the line a last time, and moves to the next line."""
        output.Output.before_write = None
        if self.parts:
            self._stream.draw(f"\r{fit_line(self.parts, self._count_columns() - 1)}\x1b[J\n")
            self._stream.flush()

    def _count_columns(self) -> int:
        """Returns the current width of the terminal."""
        try:
            columns = os.get_terminal_size(self.console.file.fileno()).columns
        except (OSError, ValueError, AttributeError):
            columns = 0
        return columns or self.console.width


def fit_line(parts: Sequence[Part], width: int) -> str:
    """Joins parts to a line of at most `width` cells; drops the highest ranks, and cuts the last part."""
    parts = list(parts)
    while len(parts) > 1 and cell_len("  ".join(part.text for part in parts)) > width:
        parts.remove(max(parts, key=lambda part: part.rank))
    line = "  ".join(part.text for part in parts)
    return line if cell_len(line) <= width else set_cell_size(line, max(width, 0))
