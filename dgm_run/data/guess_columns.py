"""Guesses the kinds of a table's columns from their cells."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from dgm_run.data.columns import KINDS, Cell, Column, Kind, list_some
from dgm_run.errors import DataError

Choice = Literal["real", "count", "binary", "categorical", "drop"]
CHOICES: tuple[Choice, ...] = get_args(Choice)

MAX_CATEGORIES = 50
"""Largest number of different texts that are taken for categories."""
MAX_COUNT = 255
"""Largest whole number that is taken for a count; larger ones are years, incomes and the like."""
_MONTH = "(0?[1-9]|1[0-2])"
_DAY = "(0?[1-9]|[12][0-9]|3[01])"
DATE = re.compile(rf"[0-9]{{4}}[-/]{_MONTH}[-/]{_DAY}([T ].*)?|{_DAY}[./]{_DAY}[./]([0-9]{{4}}|[0-9]{{2}})( .*)?")
"""Texts that are dates, with or without a time."""


class RawColumn(NamedTuple):
    """Column as a file holds it.

    Attributes:
        name: name in the header.
        dtype: type of the cells as Arrow names it.
        cells: cells, (N,); None is a missing value.
        categories: values that the file declares for the column, in their order; empty for none.
        is_readable: whether the cells are numbers, texts or truth values.
    """

    name: str
    dtype: str
    cells: Sequence[Cell | None]
    categories: tuple[Cell, ...] = ()
    is_readable: bool = True


def guess_columns(
    table: Sequence[RawColumn], kinds: Mapping[str, Choice], use: Sequence[Kind] | None
) -> list[Column]:  # fmt: skip
    """Guesses the columns that a model sees.

    Args:
        table: columns of the file.
        kinds: kinds by name, in the place of guesses; drop leaves a column out.
        use: kinds of the columns to keep; None for all.

    Raises:
        DataError: a name or a kind is unknown, a kind does not suit its column, or no column is left.
    """
    names = [raw.name for raw in table]
    for name, kind in kinds.items():
        if name not in names:
            raise DataError(f"dataset.source.kinds: the table has no column {name}; it has {list_some(names)}")
        if kind not in CHOICES:
            raise DataError(f"dataset.source.kinds: {kind} is no kind of column: choose one of {', '.join(CHOICES)}")
    if use is not None and not set(use) <= set(KINDS):
        raise DataError(f"dataset.source.use: {list_some(use)}: choose among {', '.join(KINDS)}, or set it to null")
    chosen = [(raw, kinds.get(raw.name) or guess_kind(raw)) for raw in table]
    columns = [_make_column(raw, kind) for raw, kind in chosen if kind != "drop" and kind in (use or KINDS)]
    if not columns:
        raise DataError("dataset.source: no column is left: set dataset.source.kinds or dataset.source.use")
    return columns


def choose_label(table: Sequence[RawColumn], name: str, kind: Choice | None) -> Column:
    """Returns the column whose values are the labels.

    Args:
        table: columns of the file.
        name: name of the column.
        kind: kind of the column in the place of a guess; None to guess.

    Raises:
        DataError: there is no such column, or its values are no classes.
    """
    raw = next((each for each in table if each.name == name), None)
    if raw is None:
        names = list_some([each.name for each in table])
        raise DataError(f"dataset.source.label: the table has no column {name}; it has {names}")
    num = len({cell for cell in raw.cells if cell is not None})
    kind = kind or guess_kind(raw)
    if kind == "count" and 2 <= num <= MAX_CATEGORIES:
        kind = "categorical"
    if kind not in ("binary", "categorical"):
        held = (
            f"{kind} numbers" if kind in ("real", "count") else f"{num:,} values" + " of dates" * _are_dates(raw.cells)
        )
        raise DataError(
            f"dataset.source.label: column {name} has {held}, which are no classes: name a column of 2 to "
            f"{MAX_CATEGORIES} values, or set 'dataset.source.kinds={{{name}: categorical}}'"
        )
    return _make_column(raw, kind)


def guess_kind(raw: RawColumn) -> Choice:
    """Guesses the kind of a column; `drop` for constants, row numbers, dates, and texts that rarely repeat."""
    if not raw.is_readable:
        return "drop"
    cells = [cell for cell in raw.cells if cell is not None]
    different = set(cells)
    if _are_dates(cells) or len(different | set(raw.categories)) < 2:
        return "drop"
    if len(raw.categories or different) == 2:
        return "binary"
    if raw.categories or isinstance(cells[0], str):
        return "categorical" if len(different) <= MAX_CATEGORIES else "drop"
    numbers = [float(cell) for cell in cells]
    if not all(number.is_integer() for number in numbers):
        return "real"
    if "int" in raw.dtype and _are_row_numbers(numbers):
        return "drop"
    return "count" if min(numbers) >= 0 and max(numbers) <= MAX_COUNT else "real"


def _are_dates(cells: Sequence[Cell | None]) -> bool:
    known = [cell for cell in cells if cell is not None]
    return bool(known) and all(isinstance(cell, str) and DATE.fullmatch(cell.strip()) for cell in known)


def _are_row_numbers(numbers: Sequence[float]) -> bool:
    return len(numbers) > 2 and numbers == [numbers[0] + position for position in range(len(numbers))]


def _make_column(raw: RawColumn, kind: Kind) -> Column:
    """Makes a column of this kind, and checks that its cells suit it."""
    if not raw.is_readable:
        raise DataError(f"dataset.source.kinds: column {raw.name} is of type {raw.dtype}: only drop is possible")
    values: tuple[Cell, ...] = ()
    if kind in ("binary", "categorical"):
        different = {cell for cell in raw.cells if cell is not None}
        values = raw.categories or tuple(sorted(different))  # type: ignore[type-var]  # of one type
    if kind == "binary" and len(values) != 2:
        raise DataError(f"dataset.source.kinds: column {raw.name} has {len(values)} values: binary columns have two")
    if kind == "categorical" and len(values) < 2:
        raise DataError(f"dataset.source.kinds: column {raw.name} has {len(values)} values: set its kind to drop")
    for text in (raw.name, *values):
        if isinstance(text, str) and ("${" in text or text == "???"):
            raise DataError(f"dataset: column {raw.name}: a configuration cannot hold the text {text}: rename it")
    column = Column(raw.name, kind, raw.dtype, values)
    column.encode(raw.cells)
    return column


def describe_left_out(table: Sequence[RawColumn], columns: Sequence[Column]) -> str:
    """Lists the columns of a file that a model does not see; empty for none."""
    kept = {column.name for column in columns}
    return list_some([_describe_column(raw) for raw in table if raw.name not in kept])


def _describe_column(raw: RawColumn) -> str:
    num = len({cell for cell in raw.cells if cell is not None})
    return f"{raw.name} ({num:,} values)" if raw.is_readable else f"{raw.name} ({raw.dtype})"
