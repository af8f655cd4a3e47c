"""Reads and writes tables: CSV, and Parquet by pyarrow."""

import csv
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dgm_run.data.columns import Cell, Column
from dgm_run.data.guess_columns import RawColumn
from dgm_run.errors import DataError

MISSING = frozenset(("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A"))
"""Cells of a CSV file that are missing values."""
DELIMITERS = ",;\t"
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,14})")  # 007 is a text; more digits exceed double precision
_NUMBER = re.compile(r"[+-]?(((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?|inf)")


def read_table(path: Path) -> list[RawColumn]:
    """Reads the columns of a .csv, .tsv or .parquet file.

    Raises:
        DataError: the file cannot be read; one line says why.
    """
    table_format = find_format(path)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file: set dataset.source.path to a .csv or .parquet file")
    table = _read_csv(path) if table_format == "csv" else _read_parquet(path)
    names = [column.name for column in table]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f"{path}: two columns are called {repeated[0]}: rename one")
    if not table or not table[0].cells:
        raise DataError(f"{path}: the table has no rows: check the file")
    return table


def write_table(path: Path, columns: Sequence[Column], cells: Sequence[Sequence[Cell | None]]) -> None:
    """Writes a table in the format of the path's suffix.

    Args:
        path: file to write.
        columns: columns of the table.
        cells: cells of each column, (D, N); None is a missing value.
    """
    write = _write_csv if find_format(path) == "csv" else _write_parquet
    write(path, columns, cells)


def find_format(path: Path) -> str:
    """Returns `csv` or `parquet`, by the suffix of a path.

    Raises:
        DataError: the suffix is another one.
    """
    formats = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
    if path.suffix.lower() not in formats:
        raise DataError(f"{path} is no table: dataset=table reads .csv, .tsv and .parquet files")
    return formats[path.suffix.lower()]


def read_csv_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Reads the rows of a .csv or .tsv file, the header among them; the first row tells the delimiter.

    Returns:
        Each row with the line of the file in which it begins, from 1.

    Raises:
        DataError: the file cannot be read, or is empty.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            delimiter = max(DELIMITERS, key=header.count)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            rows = []
            line = 1
            for row in reader:
                rows += [(line, row)] if row else []
                line = reader.line_num + 1
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table in UTF-8 ({error})") from None
    if not rows:
        raise DataError(f"{path}: the file is empty")
    return rows


def _read_csv(path: Path) -> list[RawColumn]:
    rows = read_csv_rows(path)
    width = len(rows[0][1])
    for line, row in rows:
        if len(row) != width:
            raise DataError(f"{path}: line {line} has {len(row)} cells, and the header has {width}: correct the line")
    texts = list(zip(*(row for _, row in rows), strict=True))
    return [_convert_texts(name.strip(), [text.strip() for text in column]) for name, *column in texts]


def _convert_texts(name: str, texts: Sequence[str]) -> RawColumn:
    """Converts the texts of a column to integers or floats, if all of them are numbers."""
    known = [text for text in texts if text not in MISSING]
    dtype = "string"
    convert: Callable[[str], Cell] = str
    if known and all(map(_INTEGER.fullmatch, known)):
        dtype = "int64"
        convert = int
    elif known and all(map(_NUMBER.fullmatch, known)):
        dtype = "double"
        convert = float
    return RawColumn(name, dtype, [None if text in MISSING else convert(text) for text in texts])


def _write_csv(path: Path, columns: Sequence[Column], cells: Sequence[Sequence[Cell | None]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", lineterminator="\n")
        writer.writerow(column.name for column in columns)
        writer.writerows(zip(*cells, strict=True))


def _import_pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DataError("a .parquet file needs pyarrow: pip install 'dgm-run[tables]', or save it as .csv") from None
    return pyarrow, parquet


def _read_parquet(path: Path) -> list[RawColumn]:
    arrow, parquet = _import_pyarrow()
    try:
        table = parquet.read_table(path)
    except (OSError, arrow.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read as a Parquet file ({reason})") from None
    return [_convert_arrow(arrow, *each) for each in zip(table.schema, table.columns, strict=True)]


def _convert_arrow(arrow: Any, field: Any, column: Any) -> RawColumn:
    categories: tuple[Cell, ...] = ()
    dtype = str(field.type)
    kind = field.type
    if arrow.types.is_dictionary(kind):
        kind = kind.value_type
        categories = tuple(column.unify_dictionaries().chunk(0).dictionary.to_pylist()) if column.num_chunks else ()
        dtype = f"dictionary<{kind}>"
    types = arrow.types
    checks = (types.is_boolean, types.is_integer, types.is_floating, types.is_string, types.is_large_string)
    if not any(check(kind) for check in checks):
        return RawColumn(field.name, dtype, [None] * len(column), is_readable=False)
    cells = [None if isinstance(cell, float) and math.isnan(cell) else cell for cell in column.to_pylist()]
    return RawColumn(field.name, dtype, cells, categories)


def _write_parquet(path: Path, columns: Sequence[Column], cells: Sequence[Sequence[Cell | None]]) -> None:
    arrow, parquet = _import_pyarrow()
    arrays = []
    for column, values in zip(columns, cells, strict=True):
        inner = re.fullmatch(r"dictionary<(.*)>", column.dtype)
        if inner:
            codes = [None if cell is None else column.values.index(cell) for cell in values]
            dictionary = arrow.array(column.values, arrow.type_for_alias(inner[1]))
            arrays.append(arrow.DictionaryArray.from_arrays(arrow.array(codes, arrow.int32()), dictionary))
        else:
            arrays.append(arrow.array(values, arrow.type_for_alias(column.dtype)))
    parquet.write_table(arrow.table(arrays, names=[column.name for column in columns]), path)
