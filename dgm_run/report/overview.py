"""A row for each configuration: what it has found of what matters first, and what that has cost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dgm_run.report.cells import NOTHING, Cell, number, plain
from dgm_run.report.groups import Group
from dgm_run.report.rows import Difference, Row, columns
from dgm_run.report.tables import FIRST, EstimateSpec

READING = (
    "± the standard error over runs, of a single one that of its examples and of computing. Bold: the best of a "
    "column, and what its difference to that, with an interval that holds for all pairs of a column together (95%), "
    "does not tell from it. Configurations are compared where a column has several runs of any, else trained models."
)


@dataclass(frozen=True)
class Overview:
    """Configurations on the same data, the best of the first column first.

    Attributes:
        data: what they were tested on.
        cells: of each column, by its head.
        ways: how the numbers of a column were found, by its head.
        names: of the configurations.
        brought: by each model, which have no column.
    """

    data: str
    cells: Mapping[str, Sequence[Cell]]
    ways: Mapping[str, EstimateSpec]
    names: Sequence[str]
    brought: Mapping[str, Mapping[str, object]]

    @property
    def legend(self) -> list[str]:
        """What is to be said below the table."""
        ways = [f"{head}: {way.describe_method()}; {way.num_examples} examples" for head, way in self.ways.items()]
        return ways + [
            f"{model}: {', '.join(f'{key}={value}' for key, value in settings.items() if value != 'none')}"
            for model, settings in self.brought.items()
            if settings
        ]


def overviews(tables: Sequence[tuple[EstimateSpec, list[Row]]]) -> Iterator[Overview]:
    """One for each data set on which numbers that matter first were found."""
    of_data: dict[str, dict[EstimateSpec, list[Row]]] = {}
    for way, rows in tables:
        if way.quantity in FIRST and not way.run and not _is_known_in_nats(way, rows, tables):
            of_data.setdefault(way.describe_data(), {})[way] = rows
    for data, found in of_data.items():
        yield _overview(data, found)


def _is_known_in_nats(way: EstimateSpec, rows: Sequence[Row], tables: Sequence[tuple[EstimateSpec, list[Row]]]) -> bool:
    """Bits that no paper names, where the nats stand beside them."""
    # exact densities of dequantised data give bits that are bounds
    in_nats = replace(way, quantity="log_likelihood", unit="nats", kind="")
    known = way.quantity == "bits_per_dim" and any(replace(other, kind="") == in_nats for other, _ in tables)
    return known and not any(row.published for row in rows)


def _overview(data: str, found: Mapping[EstimateSpec, Sequence[Row]]) -> Overview:
    first = {row.group.name: row for rows in reversed(list(found.values())) for row in rows}
    order = list(dict.fromkeys(row.group.name for rows in found.values() for row in rows))
    members = [first[name] for name in order]  # each where it stands in the leftmost column that has it
    ways = {f"{way.quantity} [{i}]": way for i, way in enumerate(found, 1)}
    cells = {name: [plain(row.group.settings.get(name, "")) for row in members] for name in columns(members)}
    if not cells:
        cells = {"configuration": [plain(name) for name in order]}
    for head, way in ways.items():
        by_name = {row.group.name: row for row in found[way]}
        cells[head] = [_number(by_name.get(row.group.name), found[way][0], len(row.group.runs)) for row in members]
    cells |= _costs([row.group for row in members])
    if any(row.note for row in members):
        cells["note"] = [plain(row.note) for row in members]
    brought = {str(row.group.settings.get("model")): row.group.brought for row in members}
    return Overview(data, cells, ways, order, brought)


def _number(row: Row | None, best: Row, num_runs: int) -> Cell:
    if row is None:
        return NOTHING
    apart = row.difference
    is_best = row is best or (isinstance(apart, Difference) and apart.low <= 0 <= apart.high)
    return number(row, is_best, num_runs)


def _costs(groups: Sequence[Group]) -> dict[str, list[Cell]]:
    trainings = [[run.results["training"] for run in group.runs] for group in groups]
    return {
        "parameters": [Cell(f"{n:,}", n) for n in (group.runs[0].results["parameters"] for group in groups)],
        "epochs": [_mean([each["epochs"] for each in of_group], 0) for of_group in trainings],
        "minutes": [_mean([each["seconds"] / 60 for each in of_group], 1) for of_group in trainings],
        "runs": [plain(len(group.runs)) for group in groups],
    }


def _mean(values: Sequence[float], decimals: int) -> Cell:
    mean = sum(values) / len(values)
    return Cell(f"{mean:,.{decimals}f}", mean)
