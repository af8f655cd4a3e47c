"""Small tables for tests."""

from pathlib import Path
from typing import Any

import numpy as np

from dgm_run.data.sources.table_file import TableFile

COLUMNS = [
    {"name": "sex", "kind": "binary", "dtype": "string", "values": ["f", "m"]},
    {"name": "income", "kind": "real", "dtype": "double", "values": []},
    {"name": "town", "kind": "categorical", "dtype": "string", "values": ["a", "b", "c"]},
    {"name": "visits", "kind": "count", "dtype": "int64", "values": []},
    {"name": "height", "kind": "real", "dtype": "double", "values": []},
    {"name": "grade", "kind": "categorical", "dtype": "int64", "values": [1, 2, 3, 4]},
    {"name": "area", "kind": "categorical", "dtype": "string", "values": ["x", "y", "z"]},
]
"""Plain values of seven columns of all kinds, in an order that mixes them."""


def make_table_file(path: Path, **settings: Any) -> TableFile:
    """Makes the source of a table with these settings; the others are those of no label, in the order of the file."""
    defaults: dict[str, Any] = {"columns": (), "split_seed": None, "one_hot": False, "num_valid": 10, "num_test": 10}
    defaults |= dict.fromkeys(("kinds", "label_column", "label", "use"))
    return TableFile(path=str(path), **defaults | settings)


def draw_cells(num: int, seed: int = 0) -> dict[str, list]:
    """Draws cells of `COLUMNS` that depend on one hidden number a row, so that they predict each other."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=num)

    def noise():
        return 0.3 * rng.normal(size=num)

    return {
        "sex": [("f", "m")[each] for each in (z + noise() > 0).astype(int)],
        "income": np.round(30_000 + 8_000 * (z + noise()), 2).tolist(),
        "town": [("a", "b", "c")[each] for each in np.digitize(z + noise(), [-0.5, 0.5])],
        "visits": rng.poisson(np.exp(1.5 + 0.8 * z)).tolist(),
        "height": np.round(1.7 - 0.1 * (z + noise()), 3).tolist(),
        "grade": (1 + np.digitize(-z + noise(), [-1, 0, 1])).tolist(),
        "area": [("x", "y", "z")[each] for each in np.digitize(z + noise(), [-0.2, 0.9])],
    }


def write_csv(path, cells, missing: float = 0.0, seed: int = 1) -> list[list]:
    """Writes cells by column to a CSV file, with some of them missing at random; returns the rows, with None."""
    rng = np.random.default_rng(seed)
    columns = [[None if rng.random() < missing else cell for cell in column] for column in cells.values()]
    rows = [list(row) for row in zip(*columns, strict=True)]
    lines = [",".join(cells), *(",".join("" if cell is None else str(cell) for cell in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return rows
