"""Cells and columns of the tables of a report, for Markdown and HTML."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from dgm_run.config.leaves import format_leaf
from dgm_run.report.groups import find_varying_settings
from dgm_run.report.rows import Difference, Row, format_nats


class Span(NamedTuple):
    """An interval around a number, with a reference value if there is one."""

    low: float
    high: float
    reference: float | None = None


class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
        shown: the text.
        sort_key: the value that a column is sorted by.
        is_best: whether the cell is the best of its column, or does not differ significantly from the best.
        span: interval to draw around `sort_key`; None for no drawing.
        tip: text under the pointer; empty for none.
        runs: names of the runs that the text lists.
    """

    shown: str
    sort_key: object
    is_best: bool = False
    span: Span | None = None
    tip: str = ""
    runs: Sequence[str] = ()


EMPTY = Cell("", "")


def make_cell(value: object) -> Cell:
    """Returns a cell that shows the value it is sorted by, in the form of the command line."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(format_leaf(value), value if is_number else format_leaf(value))


def make_number_cell(row: Row, is_best: bool = False, usual_num_runs: int = 1) -> Cell:
    """Returns the cell of a row's number, with the number of runs if that is not `usual_num_runs`."""
    span = None
    if row.stderr is not None and math.isfinite(row.mean) and math.isfinite(row.stderr):
        span = Span(row.mean - row.stderr, row.mean + row.stderr)
    tip = f"95%: {_format_interval(row)}" if row.interval else ""
    return Cell(row.format_number(usual_num_runs), row.mean, is_best, span, tip)


def make_columns(rows: Sequence[Row]) -> dict[str, list[Cell]]:
    """Returns the columns of one table by their heads, without empty columns."""
    names = find_varying_settings([row.group for row in rows])
    columns: dict[str, list[Cell]] = {
        **{name: [make_cell(row.group.settings.get(name, "")) for row in rows] for name in names},
        **({} if names else {"configuration": [make_cell(row.group.name) for row in rows]}),
        "value": [make_number_cell(row) for row in rows],
        "95% interval": [make_cell(_format_interval(row)) for row in rows],
        _describe_differences(rows): [_make_difference_cell(row) for row in rows],
        "train_reference": [
            EMPTY if row.train_reference is None else Cell(format_nats(row.train_reference), row.train_reference)
            for row in rows
        ],
        "published": [_make_published_cell(row) for row in rows],
        "note": [make_cell(row.note) for row in rows],
        "runs": [_make_runs_cell([run.name for run in row.group.runs]) for row in rows],
    }
    return {head: column for head, column in columns.items() if any(cell.shown for cell in column)}


def _make_runs_cell(names: Sequence[str]) -> Cell:
    text = ", ".join(names)
    return Cell(text, text, runs=names)


def _format_interval(row: Row) -> str:
    return " to ".join(map(format_nats, row.interval or ()))


def _describe_differences(rows: Sequence[Row]) -> str:
    """Returns the head of the column of differences."""
    compared = rows[0].compared
    return f"difference to the {'first' if compared == 'evaluation' else 'best'} {compared} (95% for all pairs)"


def _make_difference_cell(row: Row) -> Cell:
    """Returns a difference with its interval and the source of its error, or the reason why there is none."""
    if not isinstance(row.difference, Difference):
        return Cell(row.difference, "")  # an empty text in the first row
    mean, low, high, sources = row.difference
    span = Span(low, high, reference=0.0) if math.isfinite(high - low) else None
    return Cell(f"{format_nats(mean)} ({format_nats(low)} to {format_nats(high)}, {sources})", mean, span=span)


def _make_published_cell(row: Row) -> Cell:
    if row.published is None:
        return EMPTY
    value, where = row.published
    return Cell(f"{value:g} ({where})", value)
