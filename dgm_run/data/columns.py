"""Columns of a table: their kinds, and the codes that a model sees in the place of cells."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from dgm_run.errors import DataError

Cell = bool | int | float | str
Kind = Literal["real", "count", "binary", "categorical"]
KINDS: tuple[Kind, ...] = get_args(Kind)

MAX_LISTED = 10
"""Largest number of names, or of values, that a message lists."""


@dataclass(frozen=True)
class Column:
    """Column of a table. A model sees numbers as they are, and any other value as its position in `values`.

    Args:
        name: name in the header.
        kind: real | count | binary | categorical.
        dtype: type of the cells as Arrow names it, such as double, int64, bool, string or dictionary<string>.
        values: values of a binary or categorical column in the order of their codes; empty for numbers. A binary
            column of one value is a unit of a one-hot vector.
    """

    name: str
    kind: Kind
    dtype: str
    values: tuple[Cell, ...] = ()

    @property
    def num_codes(self) -> int:
        """Number of codes of a binary or categorical column; 0 for numbers."""
        return len(self.values)

    def encode(self, cells: Sequence[Cell | None]) -> Tensor:
        """Converts cells to codes, (N,), in double precision; None, a missing value, becomes NaN.

        Raises:
            DataError: a cell does not suit the kind of the column.
        """
        codes = {value: float(code) for code, value in enumerate(self.values)}
        numbers = [math.nan if cell is None else self._find_number(cell, codes) for cell in cells]
        return torch.tensor(numbers, dtype=torch.float64)

    def decode(self, codes: Tensor, decimals: int | None = None) -> list[Cell | None]:
        """Converts codes, (N,), to cells of the column's type; NaN becomes None.

        Args:
            codes: codes; those of binary and categorical columns, and counts, are rounded.
            decimals: decimal places of real values; None for all.
        """
        return [None if math.isnan(code) else self._to_cell(code, decimals) for code in codes.tolist()]

    def _find_number(self, cell: Cell, codes: Mapping[Cell, float]) -> float:
        """Returns the code or the number of a cell."""
        if self.values:
            if cell not in codes:
                raise DataError(
                    f"dataset: column {self.name} has the value {cell!r}, which is none of its {len(codes)} values "
                    f"({list_some(self.values)}): correct the cell, or start a new run that reads the columns again"
                )
            return codes[cell]
        if isinstance(cell, str):
            raise DataError(
                f"dataset: column {self.name} has the text {cell!r}, which is no number: set its kind to categorical "
                f"or drop, as in 'dataset.source.kinds={{{self.name}: categorical}}'"
            )
        if self.kind == "count" and not (cell >= 0 and float(cell).is_integer()):
            raise DataError(
                f"dataset: column {self.name} has the value {cell!r}, which is no count: set its kind to real, as in "
                f"'dataset.source.kinds={{{self.name}: real}}'"
            )
        return float(cell)

    def _to_cell(self, code: float, decimals: int | None) -> Cell:
        if self.values:
            return self.values[min(max(round(code), 0), self.num_codes - 1)]
        integer = re.fullmatch(r"(u?)int(\d+)", self.dtype)
        if integer:
            return _round_to_integer(code, int(integer[2]), is_signed=not integer[1])
        if self.kind == "count":
            return float(round(code))
        return code if decimals is None else round(code, decimals)

    def state(self) -> dict[str, Any]:
        """Returns the column as plain values, for the configuration."""
        return {"name": self.name, "kind": self.kind, "dtype": self.dtype, "values": list(self.values)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Column":
        """Makes a column from the output of `state`."""
        return cls(state["name"], state["kind"], state["dtype"], tuple(state["values"]))


def _round_to_integer(number: float, num_bits: int, is_signed: bool) -> int:
    """Rounds a number to the nearest integer that so many bits hold."""
    low = -(2 ** (num_bits - 1)) if is_signed else 0
    high = low + 2**num_bits - 1
    if not low < number < high:
        return low if number <= low else high
    return round(number)


def read_columns(states: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Makes the columns of a table from their plain values in the configuration.

    Raises:
        ValueError: an entry is no column.
    """
    try:
        return tuple(map(Column.from_state, states))
    except (KeyError, TypeError):
        raise ValueError("columns are read from the file: set dataset.source.kinds to change their kinds") from None


def split_units(columns: Sequence[Column]) -> list[Column]:
    """Replaces each categorical column by binary units, one for each value."""
    units = [
        [replace(column, kind="binary", values=(value,)) for value in column.values]
        if column.kind == "categorical"
        else [column]
        for column in columns
    ]
    return list(chain.from_iterable(units))


def merge_units(columns: Sequence[Column]) -> list[tuple[Column, list[int]]]:
    """Joins the units of one-hot vectors; returns the columns of the table, and the positions of their elements."""
    positions: dict[str, list[int]] = {}
    for position, column in enumerate(columns):
        positions.setdefault(column.name, []).append(position)
    merged = []
    for places in positions.values():
        column = columns[places[0]]
        if len(places) > 1:
            column = replace(column, kind="categorical", values=tuple(columns[place].values[0] for place in places))
        merged.append((column, places))
    return merged


def encode_rows(columns: Sequence[Column], cells: Mapping[str, Sequence[Cell | None]]) -> Tensor:
    """Converts the cells of a table, (N,) by the name of the column, to the elements of its rows, (N, D)."""
    elements = []
    for column, places in merge_units(columns):
        codes = column.encode(cells[column.name]).unsqueeze(1)
        if len(places) > 1:
            one_hot = (codes == torch.arange(len(places))).double()
            codes = torch.where(codes.isnan(), math.nan, one_hot)
        elements.append(codes)
    return torch.cat(elements, 1)


def decode_rows(columns: Sequence[Column], x: Tensor, decimals: Sequence[int]) -> list[list[Cell | None]]:
    """Converts elements of rows, (N, D), to the cells of each column of the table; a category is its largest unit.

    Args:
        columns: columns of the elements.
        x: numbers and codes.
        decimals: decimal places of each real column, (D,).
    """
    cells = []
    for column, places in merge_units(columns):
        codes = x[:, places[0]]
        if len(places) > 1:
            units = x[:, places]
            codes = torch.where(units.isnan().any(1), math.nan, units.nan_to_num(0.0).argmax(1))
        cells.append(column.decode(codes, decimals[places[0]]))
    return cells


def find_kind(columns: Sequence[Column]) -> Literal["continuous", "binary", "mixed"]:
    """Returns the kind of the model's input: `continuous` or `binary` where all columns are so, else `mixed`."""
    kinds = {column.kind for column in columns}
    if kinds == {"real"}:
        return "continuous"
    return "binary" if kinds == {"binary"} else "mixed"


def select_positions(columns: Sequence[Column], kind: Kind) -> list[int]:
    """Returns the positions of the columns of one kind."""
    return [position for position, column in enumerate(columns) if column.kind == kind]


def describe_kinds(columns: Sequence[Column]) -> str:
    """Counts the columns of each kind, as in `3 real, 1 binary`."""
    return ", ".join(f"{len(names)} {kind}" for kind, names in _group_names(columns).items())


def list_columns(columns: Sequence[Column]) -> str:
    """Lists the names of the columns by their kind."""
    return "; ".join(f"{len(names)} {kind}: {list_some(names)}" for kind, names in _group_names(columns).items())


def _group_names(columns: Sequence[Column]) -> dict[str, list[str]]:
    """Returns the names of the table's columns by their kind; units of one-hot vectors have a kind of their own."""
    groups: dict[str, list[str]] = {kind: [] for kind in (*KINDS, "categorical as one-hot units")}
    for column, places in merge_units(columns):
        groups["categorical as one-hot units" if len(places) > 1 else column.kind].append(column.name)
    return {kind: names for kind, names in groups.items() if names}


def list_some(values: Sequence[Cell]) -> str:
    """Lists the first values, with dots for further ones."""
    return ", ".join(map(str, values[:MAX_LISTED])) + (", ..." if len(values) > MAX_LISTED else "")
