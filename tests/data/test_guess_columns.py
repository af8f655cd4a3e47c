import pytest

from dgm_run.data.guess_columns import RawColumn, choose_label, describe_left_out, guess_columns, guess_kind
from dgm_run.errors import DataError

TABLE = [
    RawColumn("id", "int64", [1, 2, 3, 4]),
    RawColumn("sex", "string", ["m", "f", None, "m"]),
    RawColumn("age", "int64", [30, 41, 30, 22]),
]


@pytest.mark.parametrize(
    ("kind", "dtype", "cells"),
    [
        ("real", "double", [0.5, 1.0, None, 2.0]),
        ("real", "int64", [1990, 2003, 1990, 1991]),
        ("real", "int64", [-1, 5, 3, 5]),
        ("real", "double", [1.0, 2.0, float("inf")]),
        ("count", "int64", [0, 3, 1, 1]),
        ("count", "double", [0.0, 3.0, 1.0, None]),
        ("binary", "int64", [0, 1, None, 1]),
        ("binary", "double", [1.0, 0.0, 1.0]),
        ("binary", "string", ["yes", "no", None]),
        ("binary", "bool", [True, False]),
        ("categorical", "string", ["a", "b", "c", "a"]),
        ("drop", "string", [f"name {i}" for i in range(51)]),
        ("drop", "int64", [5, 6, 7, 8]),
        ("drop", "string", ["same", "same", None]),
        ("drop", "double", [None, None]),
    ],
)
def test_kinds_are_guessed(kind, dtype, cells):
    assert guess_kind(RawColumn("a", dtype, cells)) == kind


def test_categories_of_the_file_count():
    assert guess_kind(RawColumn("a", "dictionary<string>", ["x", "y"], ("y", "x", "z"))) == "categorical"
    (column,) = guess_columns([RawColumn("a", "dictionary<string>", ["x", "y"], ("y", "x", "z"))], {}, None)
    assert column.values == ("y", "x", "z")


def test_values_are_sorted():
    (column,) = guess_columns([RawColumn("a", "int64", [2, 1, 2, 3])], {"a": "categorical"}, None)
    assert column.values == (1, 2, 3)


def test_kinds_can_be_set():
    columns = guess_columns(TABLE, {"id": "real", "age": "drop"}, None)
    assert [(column.name, column.kind) for column in columns] == [("id", "real"), ("sex", "binary")]


def test_kinds_can_be_selected():
    assert [column.name for column in guess_columns(TABLE, {}, ["binary"])] == ["sex"]


def test_columns_left_out_are_listed():
    table = [*TABLE, RawColumn("when", "timestamp[us]", [None], is_readable=False)]
    assert describe_left_out(table, guess_columns(table, {}, None)) == "id (4 values), when (timestamp[us])"


@pytest.mark.parametrize(
    ("kinds", "use", "message"),
    [
        ({"weight": "real"}, None, r"^dataset\.source\.kinds: the table has no column weight; it has id, sex, age$"),
        ({"age": "integer"}, None, r"^dataset\.source\.kinds: integer is no kind of column: choose one of real, count"),
        ({"age": "binary"}, None, r"^dataset\.source\.kinds: column age has 3 values: binary columns have two$"),
        ({"sex": "real"}, None, "column sex has the text 'm', which is no number"),
        ({}, ["numbers"], r"^dataset\.source\.use: numbers: choose among real, count, binary, categorical, or set"),
        ({}, ["real"], r"^dataset\.source: no column is left: set dataset\.source\.kinds or dataset\.source\.use$"),
    ],
)
def test_kinds_that_do_not_suit_are_refused(kinds, use, message):
    with pytest.raises(DataError, match=message):
        guess_columns(TABLE, kinds, use)


def test_unreadable_columns_are_refused():
    table = [*TABLE, RawColumn("when", "timestamp[us]", [None], is_readable=False)]
    with pytest.raises(DataError, match=r"column when is of type timestamp\[us\]: only drop is possible"):
        guess_columns(table, {"when": "real"}, None)


def test_texts_that_a_configuration_reads_are_refused():
    with pytest.raises(DataError, match=r"^dataset: column a: a configuration cannot hold the text \$\{seed\}: rename"):
        guess_columns([RawColumn("a", "string", ["${seed}", "b", "c"])], {}, None)


@pytest.mark.parametrize(
    ("name", "kind", "values"),
    [("sex", None, ("f", "m")), ("grade", None, (1, 2, 5)), ("year", "categorical", (1990, 2003))],
)
def test_labels_are_values_of_a_column(name, kind, values):
    more = [RawColumn("grade", "int64", [1, 5, 2, None]), RawColumn("year", "int64", [1990, 2003, 1990, None])]
    column = choose_label([*TABLE, *more], name, kind)
    assert column.values == values


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("town", None, r"^dataset\.source\.label: the table has no column town; it has id, sex, age, weight$"),
        ("weight", None, r"column weight has real numbers, which are no classes: name a column of 2 to 50 values, or "),
        ("age", "real", r"column age has real numbers"),
        ("id", None, r"column id has 4 values, which are no classes"),
    ],
)
def test_columns_without_classes_are_refused(name, kind, message):
    with pytest.raises(DataError, match=message):
        choose_label([*TABLE, RawColumn("weight", "double", [0.5, 1.5, 2.5, 3.5])], name, kind)


@pytest.mark.parametrize("cells", [["2024-01-03", "2024-02-11"], ["3.1.2024", "11.2.24"], ["2024-1-3 10:00", None]])
def test_dates_are_left_out(cells):
    assert guess_kind(RawColumn("joined", "string", [*cells, "2023-12-31"])) == "drop"
    assert guess_kind(RawColumn("joined", "string", [*cells, "never", "2023-12-31"])) == "categorical"


@pytest.mark.parametrize("cells", [["99/99/99", "12/80/70"], ["9999-99-99", "2024-13-01"], ["1.2.300", "1.3.100"]])
def test_texts_like_dates_are_none(cells):
    assert guess_kind(RawColumn("code", "string", [*cells, *cells, "0.0.0"])) == "categorical"


def test_dates_with_slashes_and_spaces():
    assert guess_kind(RawColumn("day", "string", ["2024/01/03", " 2024-01-04", "2024-2-5"])) == "drop"
