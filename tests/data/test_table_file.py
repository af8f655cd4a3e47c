import sys

import pytest

from dgm_run.data.guess_columns import RawColumn, guess_columns
from dgm_run.data.table_file import find_format, read_table, write_table
from dgm_run.errors import DataError

LINES = (
    'id,name,"a, b",share,flag,empty',
    "7,Ann,1,0.5,true,",
    '8,"Bob ""B""",,1e-3,false,NA',
    "9,Cé,3,nan,true,",
)


def save(tmp_path, text, name="table.csv", encoding="utf-8"):
    (tmp_path / name).write_bytes(text.encode(encoding))
    return tmp_path / name


def test_texts_become_numbers_where_all_are(tmp_path):
    assert read_table(save(tmp_path, "\n".join(LINES))) == [
        RawColumn("id", "int64", [7, 8, 9]),
        RawColumn("name", "string", ["Ann", 'Bob "B"', "Cé"]),
        RawColumn("a, b", "int64", [1, None, 3]),
        RawColumn("share", "double", [0.5, 0.001, None]),
        RawColumn("flag", "string", ["true", "false", "true"]),
        RawColumn("empty", "string", [None, None, None]),
    ]


@pytest.mark.parametrize(
    ("name", "text", "encoding"),
    [
        ("t.csv", "a;b\n1;x\n2;y\n", "utf-8"),
        ("t.tsv", "a\tb\n1\tx\n2\ty\n", "utf-8"),
        ("t.csv", "a, b\r\n1, x\r\n\r\n2, y\r\n", "utf-8-sig"),
    ],
)
def test_other_forms_of_text_are_read(tmp_path, name, text, encoding):
    found = read_table(save(tmp_path, text, name, encoding))
    assert found == [RawColumn("a", "int64", [1, 2]), RawColumn("b", "string", ["x", "y"])]


def test_leading_zeros_stay(tmp_path):
    (column,) = read_table(save(tmp_path, "zip\n00123\n98765\n"))
    assert (column.dtype, column.cells) == ("string", ["00123", "98765"])


def test_text_files_come_back(tmp_path):
    table = read_table(save(tmp_path, "sex,age,town,size\nm,30,b,1.5\nf,,a,2.25\nm,22,,0.1\nf,41,c,\n"))
    columns = guess_columns(table, {}, None)
    cells = [column.decode(column.encode(raw.cells)) for column, raw in zip(columns, table, strict=True)]
    write_table(tmp_path / "again.csv", columns, cells)
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "table.csv").read_text()
    assert read_table(tmp_path / "again.csv") == table


@pytest.fixture
def arrow_table():
    arrow = pytest.importorskip("pyarrow")
    towns = arrow.DictionaryArray.from_arrays(arrow.array([0, 2, None, 0], arrow.int8()), ["rome", "bonn", "oslo"])
    return arrow.table(
        {
            "town": towns,
            "visits": arrow.array([3, 0, None, 2], arrow.int16()),
            "size": arrow.array([0.5, None, 2.25, -1.0], arrow.float32()),
            "is_new": arrow.array([True, None, False, True]),
            "name": arrow.array(["x", "y", "z", None], arrow.large_string()),
            "when": arrow.array([0, 1, 2, 3], arrow.timestamp("us")),
        }
    )


def test_parquet_files_come_back(tmp_path, arrow_table):
    from pyarrow import parquet

    parquet.write_table(arrow_table, tmp_path / "table.parquet")
    table = read_table(tmp_path / "table.parquet")
    assert [(raw.name, raw.is_readable) for raw in table][-1] == ("when", False)
    columns = guess_columns(table, {}, None)
    assert [column.kind for column in columns] == ["categorical", "count", "real", "binary", "categorical"]
    assert columns[0].values == ("rome", "bonn", "oslo")
    cells = [column.decode(column.encode(raw.cells)) for column, raw in zip(columns, table, strict=False)]
    write_table(tmp_path / "again.parquet", columns, cells)
    again = parquet.read_table(tmp_path / "again.parquet")
    kept = arrow_table.drop_columns(["when"])
    assert again.to_pydict() == kept.to_pydict()
    assert again.column_names == kept.column_names
    assert again.schema.types[1:] == kept.schema.types[1:]
    assert again["town"].chunk(0).dictionary.to_pylist() == ["rome", "bonn", "oslo"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n", r"line 3 has 1 cells, and the header has 2: correct the line$"),
        ('a,b\n\n"1\n2",2\n3\n', r"line 5 has 1 cells, "),
        ("a,a\n1,2\n", r"two columns are called a: rename one$"),
        ("a,b\n", r"the table has no rows: check the file$"),
        ("", r"the file is empty$"),
        ('a\n"1\n', r"cannot be read as a table in UTF-8 \("),
    ],
)
def test_broken_text_files_are_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_table(save(tmp_path, text))


def test_a_broken_parquet_file_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match=r"table\.parquet: cannot be read as a Parquet file \("):
        read_table(save(tmp_path, "no table", "table.parquet"))


def test_parquet_without_pyarrow_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    message = r"^a \.parquet file needs pyarrow: pip install 'dgm-run\[tables\]', or save it as \.csv$"
    with pytest.raises(DataError, match=message):
        read_table(save(tmp_path, "", "table.parquet"))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"table\.xlsx is no table: dataset=table reads \.csv, \.tsv and \.parquet"):
        find_format(tmp_path / "table.xlsx")
    with pytest.raises(
        DataError, match=r"there is no such file: set dataset\.source\.path to a \.csv or \.parquet file$"
    ):
        read_table(tmp_path / "table.csv")
