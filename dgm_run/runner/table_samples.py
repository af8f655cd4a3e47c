"""Samples of a model of tables, and completed tables, with the columns of the file."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dgm_run import rng
from dgm_run.data.columns import Cell, Column, decode_rows, encode_rows, list_some, merge_units, read_columns
from dgm_run.data.data_split import to_float
from dgm_run.data.preprocessing import Preprocessing
from dgm_run.data.table import TableDataset
from dgm_run.data.table_file import write_table
from dgm_run.errors import ConfigError
from dgm_run.estimators.imputation.exact import Exact
from dgm_run.estimators.imputation.importance_sampling import ImportanceSampling
from dgm_run.estimators.imputation.table_errors import guess_cells
from dgm_run.models.base import GenerativeModel
from dgm_run.models.corrupted import CorruptedModel, ExactCorruptedModel
from dgm_run.models.labelled.base import JointModel

NUM_DRAWS = 100
"""Number of draws of a row's missing cells; the most frequent one completes a category."""
NUM_IMPORTANCE_SAMPLES = 1000
"""Number of draws of z for each row, weighted by the density of the observed cells."""
BATCH_SIZE = 100
"""Rows at a time."""
NUM_DIGITS = 6
"""Number of digits below the scale of a real column that are written: single precision holds no more."""

Cells = list[list[Cell | None]]


def read_run_columns(config: Mapping[str, Any]) -> tuple[Column, ...]:
    """Returns the columns of the table that a run was trained on; none for other data."""
    return read_columns(config["dataset"].get("columns") or [])


def read_label_column(config: Mapping[str, Any]) -> Column | None:
    """Returns the column of labels of the table that a run was trained on; None for none."""
    state = config["dataset"].get("label_column")
    return None if state is None else Column.from_state(state)


def find_label(config: Mapping[str, Any], text: str) -> int:
    """Returns the number of a label, given by its value in the table or by its number.

    Raises:
        ConfigError: there is no such label; the message lists them.
    """
    column = read_label_column(config)
    names = [] if column is None else [str(value) for value in column.values]
    if text in names:
        return names.index(text)
    if re.fullmatch(r"\d{1,9}", text):
        return int(text)
    known = f": choose one of {list_some(names)}, or its number" if names else ": give its number, from 0"
    raise ConfigError(f"label={text}: there is no such label{known}")


@torch.no_grad()
def draw_labelled_rows(model: JointModel, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draws rows and their labels from p(x, y), (n, D) and (n,), in the units of the model."""
    rng.reseed(seed, "labelled rows")
    y = torch.multinomial(model.log_p_label.exp(), n, replacement=True)
    x = torch.cat([model.sample_of_class(int((y == label).sum()), label) for label in range(model.num_classes)])
    return x[y.argsort(stable=True).argsort()], y


def write_tables(
    model: GenerativeModel,
    samples: Tensor,
    y: Tensor | None,
    seed: int,
    dataset: TableDataset | None,
    config: Mapping[str, Any],
    preprocessing: Preprocessing,
    folder: Path,
) -> list[Path]:
    """Writes samples, and the completed table if cells are missing, in the format of the table's file.

    Args:
        model: model in evaluation mode.
        samples: draws of the model in the units of the data, (N, D).
        y: their labels, (N,), which get a column; None for none.
        seed: seed of the completions.
        dataset: table of the run; None if it is not available, so that nothing is completed.
        config: configuration of the run.
        preprocessing: preprocessing of the model.
        folder: folder to write into.

    Returns:
        The files.
    """
    suffix = Path(config["dataset"]["source"].get("path", "table.csv")).suffix.lower()
    columns = read_run_columns(config)
    tables = {"samples": to_cells(samples, columns, preprocessing)}
    written = {"samples": [column for column, _ in merge_units(columns)]}
    label = read_label_column(config)
    if label is not None and y is not None:
        tables["samples"].append(label.decode(y.double()))
        written["samples"].append(label)
    if dataset is not None:
        all_columns, completed = complete_table(model, dataset, seed, preprocessing)
        tables |= completed
        written |= dict.fromkeys(completed, all_columns)
    for name, cells in tables.items():
        write_table(folder / f"{name}{suffix}", written[name], cells)
    return [folder / f"{name}{suffix}" for name in tables]


def to_cells(x: Tensor, columns: Sequence[Column], preprocessing: Preprocessing) -> Cells:
    """Converts rows in the units of the data, (N, D), to the cells of each column of the table."""
    standardization = preprocessing.standardization
    scales = [1.0] * len(columns) if standardization is None else standardization.scale.tolist()
    return decode_rows(columns, x, [NUM_DIGITS - math.floor(math.log10(scale)) for scale in scales])


@torch.no_grad()
def complete_table(
    model: GenerativeModel, dataset: TableDataset, seed: int, preprocessing: Preprocessing
) -> tuple[list[Column], dict[str, Cells]]:  # fmt: skip
    """Completes all rows of a table, in their order. Observed cells, and columns left out, stay as in the file.

    Args:
        model: model in evaluation mode.
        dataset: table, with the columns of the model.
        seed: seed of the draws.
        preprocessing: preprocessing of the model.

    Returns:
        Columns of the file, and cells by name: `completed` has means of numbers and the likeliest values of other
        columns, `completed_drawn` one draw of the missing cells of each row. None without missing cells.
    """
    if not isinstance(model, CorruptedModel):
        return [], {}
    table = dataset.source.read()
    cells = {raw.name: raw.cells for raw in table}
    x = encode_rows(dataset.columns, cells)
    missing = x.isnan().any(1).nonzero().flatten()
    if not len(missing):
        return [], {}
    rng.reseed(seed, "complete")
    rows = x[missing] if preprocessing.standardization is None else preprocessing.standardization(x[missing])
    imputed = _impute(model, to_float(rows), dataset.columns)
    columns = {column.name: column for column, _ in merge_units(dataset.columns)}
    written = [raw for raw in table if raw.is_readable]
    result = {}
    for name, values in imputed.items():
        decoded = to_cells(preprocessing.restore(values), dataset.columns, preprocessing)
        drawn = dict(zip(columns, decoded, strict=True))
        result[name] = [_fill(raw.cells, drawn.get(raw.name), missing.tolist()) for raw in written]
    return [
        columns.get(raw.name, Column(raw.name, "categorical", raw.dtype, raw.categories)) for raw in written
    ], result


def _fill(cells: Sequence[Cell | None], drawn: Sequence[Cell | None] | None, rows: Sequence[int]) -> list[Cell | None]:
    """Fills the missing cells of a column by the draws for these rows."""
    filled = list(cells)
    for row, cell in zip(rows, drawn or (), strict=bool(drawn)):
        if filled[row] is None:
            filled[row] = cell
    return filled


def _impute(model: CorruptedModel, x: Tensor, columns: Sequence[Column]) -> dict[str, Tensor]:
    """Imputes rows with missing cells, (N, D): the likeliest values and draws, in the units of the model."""
    sampler = ImportanceSampling(NUM_IMPORTANCE_SAMPLES, NUM_IMPORTANCE_SAMPLES * BATCH_SIZE)
    parts: dict[str, list[Tensor]] = {"completed": [], "completed_drawn": []}
    for rows in x.split(BATCH_SIZE):
        if isinstance(model, ExactCorruptedModel):
            mean, draws, *_ = Exact()(model.model, rows, model.corrupt, NUM_DRAWS)
        else:
            mean, draws, *_ = sampler(model.model, rows, model.corrupt, NUM_DRAWS)
        parts["completed"].append(guess_cells(mean, draws, columns))
        parts["completed_drawn"].append(draws[0])
    return {name: torch.cat(each) for name, each in parts.items()}
