import math

import pytest
import torch

from dgm_run.data.columns import (
    Column,
    decode_rows,
    describe_kinds,
    encode_rows,
    list_columns,
    list_some,
    merge_units,
    read_columns,
    select_positions,
    split_units,
)
from dgm_run.errors import DataError
from tests.support.tables import COLUMNS

TABLE = read_columns(COLUMNS)


@pytest.mark.parametrize(
    ("column", "cells", "codes"),
    [
        (Column("a", "binary", "string", ("no", "yes")), ["yes", None, "no"], [1, math.nan, 0]),
        (Column("a", "categorical", "int64", (1, 5, 7)), [7, 1, None], [2, 0, math.nan]),
        (Column("a", "binary", "bool", (False, True)), [True, False], [1, 0]),
        (Column("a", "count", "int64"), [3, None, 0], [3, math.nan, 0]),
        (Column("a", "count", "double"), [3.0, 0.0], [3, 0]),
        (Column("a", "real", "double"), [0.1, None, -2.5], [0.1, math.nan, -2.5]),
        (Column("a", "real", "int64"), [1990, 2003], [1990, 2003]),
    ],
)
def test_cells_come_back(column, cells, codes):
    found = column.encode(cells)
    torch.testing.assert_close(found, torch.tensor(codes, dtype=torch.float64), equal_nan=True)
    decoded = column.decode(found)
    assert decoded == cells
    assert list(map(type, decoded)) == list(map(type, cells))


def test_samples_become_cells_of_the_type():
    assert Column("a", "real", "int64").decode(torch.tensor([1990.6])) == [1991]
    assert Column("a", "real", "int8").decode(torch.tensor([-300.0, 300.0, 1.5])) == [-128, 127, 2]
    assert Column("a", "count", "uint8").decode(torch.tensor([-3.0, torch.inf])) == [0, 255]
    assert Column("a", "real", "double").decode(torch.tensor([0.123456789], dtype=torch.float64), 3) == [0.123]
    assert Column("a", "categorical", "string", ("x", "y")).decode(torch.tensor([-1.0, 9.0])) == ["x", "y"]


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        (TABLE[0], "d", r"^dataset: column sex has the value 'd', which is none of its 2 values \(f, m\): correct"),
        (TABLE[3], -1, r"^dataset: column visits has the value -1, which is no count: set its kind to real"),
        (TABLE[3], 1.5, "which is no count"),
        (TABLE[1], "much", r"^dataset: column income has the text 'much', which is no number: set its kind to categ"),
    ],
)
def test_other_cells_are_refused(column, cell, message):
    with pytest.raises(DataError, match=message):
        column.encode([cell])


def test_columns_come_back_from_plain_values():
    assert [column.state() for column in TABLE] == COLUMNS


def test_other_plain_values_are_refused():
    with pytest.raises(ValueError, match=r"^columns are read from the file: set dataset\.source\.kinds to change"):
        read_columns([{"name": "a"}])


def test_positions_and_descriptions():
    assert select_positions(TABLE, "real") == [1, 4]
    assert describe_kinds(TABLE) == "2 real, 1 count, 1 binary, 3 categorical"
    assert list_columns(TABLE[:3]) == "1 real: income; 1 binary: sex; 1 categorical: town"
    assert describe_kinds(split_units(TABLE[:3])) == "1 real, 1 binary, 1 categorical as one-hot units"
    assert list_some(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ..."


def test_units_are_one_hot():
    units = split_units(TABLE[:3])
    assert [(unit.name, unit.values) for unit in units[2:]] == [("town", ("a",)), ("town", ("b",)), ("town", ("c",))]
    assert [column for column, _ in merge_units(units)] == list(TABLE[:3])
    cells = {"sex": ["m", "f", None], "income": [1.5, None, 2.0], "town": ["c", "a", None]}
    x = encode_rows(units, cells)
    expected = [[1, 1.5, 0, 0, 1], [0, math.nan, 1, 0, 0], [math.nan, 2, math.nan, math.nan, math.nan]]
    torch.testing.assert_close(x, torch.tensor(expected, dtype=torch.float64), equal_nan=True)
    assert decode_rows(units, x, [3] * 5) == list(cells.values())


def test_a_category_is_its_largest_unit():
    units = split_units(TABLE[2:3])
    assert decode_rows(units, torch.tensor([[0.1, 0.3, 0.2], [1.0, 0.0, 1.0]]), [0] * 3) == [["b", "a"]]


def test_new_values_of_units_are_refused():
    with pytest.raises(DataError, match="column town has the value 'd', which is none of its 3 values"):
        encode_rows(split_units(TABLE[2:3]), {"town": ["d"]})
