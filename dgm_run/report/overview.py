"""The overview: a row for each configuration with its main numbers and their cost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dgm_run.report.cells import EMPTY, Cell, make_cell, make_number_cell
from dgm_run.report.groups import Group, describe_settings, find_varying_settings
from dgm_run.report.rows import Difference, Row
from dgm_run.report.tables import MAIN_QUANTITIES, EstimateSpec

READING_NOTE = (
    "± is the standard error over runs; for a single run, that of its examples and of computing. Bold marks the best "
    "number of a column, and all numbers that do not differ from it significantly. The intervals of the differences "
    "hold for all pairs of a column together (95%). A column compares configurations if one of them has several runs. "
    "Otherwise it compares trained models."
)


@dataclass(frozen=True)
class Overview:
    """Configurations on the same data, the best of the first column first.

    Attributes:
        data: description of the test data.
        cells: cells of each column, by its head.
        settings: heads of the columns that name the configurations.
        specs: method of the numbers of a column, by its head.
        rows: numbers of a column, by its head; None for a configuration without one.
        names: names of the configurations.
        implied: settings that follow from each model, which have no column.
    """

    data: str
    cells: Mapping[str, Sequence[Cell]]
    settings: Sequence[str]
    specs: Mapping[str, EstimateSpec]
    rows: Mapping[str, Sequence[Row | None]]
    names: Sequence[str]
    implied: Mapping[str, Mapping[str, object]]

    @property
    def legend(self) -> list[str]:
        """Notes below the table: the method of each column, and settings that follow from a model."""
        methods = [
            f"{head}: {spec.describe_method()}; {spec.num_examples} examples" for head, spec in self.specs.items()
        ]
        return methods + [
            f"{model}: {describe_settings({key: value for key, value in settings.items() if value != 'none'})}"
            for model, settings in self.implied.items()
            if settings
        ]


def make_overviews(tables: Sequence[tuple[EstimateSpec, list[Row]]]) -> Iterator[Overview]:
    """Yields an overview for each data set that has main quantities."""
    tables_by_data: dict[str, dict[EstimateSpec, list[Row]]] = {}
    for spec, rows in tables:
        if spec.quantity in MAIN_QUANTITIES and not spec.run and not _has_column_in_nats(spec, rows, tables):
            tables_by_data.setdefault(spec.describe_data(), {})[spec] = rows
    for data, data_tables in tables_by_data.items():
        yield _make_overview(data, data_tables)


def make_details(tables: Sequence[tuple[EstimateSpec, list[Row]]]) -> Iterator[Overview]:
    """Yields a table of all other quantities for each data set and method."""
    tables_by_method: dict[tuple[str, str, str], dict[EstimateSpec, list[Row]]] = {}
    for spec, rows in tables:
        if spec.quantity not in MAIN_QUANTITIES and not spec.run:
            method = (spec.describe_data(), spec.estimator, spec.settings)
            tables_by_method.setdefault(method, {})[spec] = rows
    for (data, _, _), method_tables in tables_by_method.items():
        yield _make_overview(data, method_tables)


def _has_column_in_nats(
    spec: EstimateSpec, rows: Sequence[Row], tables: Sequence[tuple[EstimateSpec, list[Row]]]
) -> bool:
    """Returns whether the rows are bits without a published number, whose nats have a column already."""
    # exact densities of dequantised data give bits that are bounds
    in_nats = replace(spec, quantity="log_likelihood", unit="nats", kind="")
    has_nats = spec.quantity == "bits_per_dim" and any(replace(other, kind="") == in_nats for other, _ in tables)
    return has_nats and not any(row.published for row in rows)


def _make_overview(data: str, tables: Mapping[EstimateSpec, Sequence[Row]]) -> Overview:
    """Makes the overview of the tables of one data set, whose columns are the tables."""
    leftmost_row: dict[str, Row] = {}  # row of each configuration in the first table that has one
    for rows in tables.values():
        for row in rows:
            leftmost_row.setdefault(row.group.name, row)
    members = list(leftmost_row.values())
    order = list(leftmost_row)
    specs = {f"{spec.quantity} [{i}]": spec for i, spec in enumerate(tables, 1)}
    names = find_varying_settings([row.group for row in members])
    cells = {name: [make_cell(row.group.settings.get(name, "")) for row in members] for name in names}
    if not cells:
        cells = {"configuration": [make_cell(name) for name in order]}
    settings = list(cells)
    rows_by_head: dict[str, list[Row | None]] = {}
    for head, spec in specs.items():
        by_name = {row.group.name: row for row in tables[spec]}
        best = tables[spec][0] if spec.better else None
        rows_by_head[head] = [by_name.get(row.group.name) for row in members]
        pairs = zip(rows_by_head[head], members, strict=True)
        cells[head] = [_mark_best(row, best, len(member.group.runs)) for row, member in pairs]
    cells |= _make_cost_columns([row.group for row in members])
    if any(row.note for row in members):
        cells["note"] = [make_cell(row.note) for row in members]
    implied = {str(row.group.settings.get("model")): row.group.implied for row in members}
    return Overview(data, cells, settings, specs, rows_by_head, order, implied)


def _mark_best(row: Row | None, best: Row | None, num_runs: int) -> Cell:
    """Returns the cell of a number, marked if it does not differ from the best; `best` is None without an order."""
    if row is None:
        return EMPTY
    if best is None:
        return make_number_cell(row, False, num_runs)
    difference = row.difference
    is_equal = isinstance(difference, Difference) and difference.low <= 0 <= difference.high
    return make_number_cell(row, is_equal or row.mean == best.mean, num_runs)


def _make_cost_columns(groups: Sequence[Group]) -> dict[str, list[Cell]]:
    trainings = [[run.results["training"] for run in group.runs] for group in groups]
    return {
        "parameters": [Cell(f"{n:,}", n) for n in (group.runs[0].results["parameters"] for group in groups)],
        "epochs": [_average([each["epochs"] for each in group_trainings], 0) for group_trainings in trainings],
        "minutes": [_average([each["seconds"] / 60 for each in group_trainings], 1) for group_trainings in trainings],
        "runs": [make_cell(len(group.runs)) for group in groups],
    }


def _average(values: Sequence[float], decimals: int) -> Cell:
    mean = sum(values) / len(values)
    return Cell(f"{mean:,.{decimals}f}", mean)
