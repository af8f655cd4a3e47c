"""What stands in the tables of a report, whatever they are written in."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from dgm_run.report.rows import Difference, Row, columns, digits


class Span(NamedTuple):
    """From where to where a number may lie, and what it is held against, if anything."""

    low: float
    high: float
    against: float | None = None


class Cell(NamedTuple):
    """A place in a table.

    Attributes:
        shown: the text.
        by: what it is sorted by.
        is_best: whether it is the best of its column, or cannot be told from that.
        span: around `by`, of a number that may be drawn.
        tip: what is shown beside the pointer, where there is one.
    """

    shown: str
    by: object
    is_best: bool = False
    span: Span | None = None
    tip: str = ""


NOTHING = Cell("", "")


def plain(value: object) -> Cell:
    """What is shown is what it is sorted by."""
    return Cell(str(value), value)


def number(row: Row, is_best: bool = False, usual: int = 1) -> Cell:
    """What a configuration has found; by how many runs is told if it is not usual."""
    span = None
    if row.stderr is not None and math.isfinite(row.mean) and math.isfinite(row.stderr):
        span = Span(row.mean - row.stderr, row.mean + row.stderr)
    return Cell(row.number(usual), row.mean, is_best, span, f"95%: {_interval(row)}" if row.interval else "")


def comparison(rows: Sequence[Row]) -> dict[str, list[Cell]]:
    """The columns, by their heads, of configurations that have found a number in one way; empty ones are left out."""
    names = columns(rows)
    found: dict[str, list[Cell]] = {
        **{name: [plain(row.group.settings.get(name, "")) for row in rows] for name in names},
        **({} if names else {"configuration": [plain(row.group.name) for row in rows]}),
        "value": [number(row) for row in rows],
        "95% interval": [plain(_interval(row)) for row in rows],
        _head(rows): [_difference(row) for row in rows],
        "train_reference": [
            NOTHING if row.train_reference is None else Cell(digits(row.train_reference), row.train_reference)
            for row in rows
        ],
        "published": [_published(row) for row in rows],
        "note": [plain(row.note) for row in rows],
        "runs": [plain(", ".join(run.name for run in row.group.runs)) for row in rows],
    }
    return {head: column for head, column in found.items() if any(cell.shown for cell in column)}


def _interval(row: Row) -> str:
    return " to ".join(map(digits, row.interval or ()))


def _head(rows: Sequence[Row]) -> str:
    """Says what the differences of a table compare."""
    compared = rows[0].compared
    return f"difference to the {'first' if compared == 'evaluation' else 'best'} {compared} (95% for all pairs)"


def _difference(row: Row) -> Cell:
    """With its interval and what it is computed from, or why there is none."""
    if not isinstance(row.difference, Difference):
        return Cell(row.difference, "")  # of the first row nothing
    mean, low, high, over = row.difference
    span = Span(low, high, against=0.0) if math.isfinite(high - low) else None
    return Cell(f"{digits(mean)} ({digits(low)} to {digits(high)}, {over})", mean, span=span)


def _published(row: Row) -> Cell:
    if row.published is None:
        return NOTHING
    value, where = row.published
    return Cell(f"{value:g} ({where})", value)
