"""The comparison as Markdown."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from dgm_run.report.cells import Cell, comparison
from dgm_run.report.groups import Group
from dgm_run.report.overview import READING, Overview, overviews
from dgm_run.report.rows import Row
from dgm_run.report.runs import Run
from dgm_run.report.tables import EstimateSpec, versions


def document(groups: Sequence[Group], tables: Sequence[tuple[EstimateSpec, list[Row]]], others: Sequence[Run]) -> str:
    """What is known at a glance, all tables, what is to be read with care and the runs that have no numbers."""
    found = []
    for way, rows in tables:
        found += [f"## {escaped(way.title)}", "", escaped(way.describe()), "", *_table(comparison(rows)), ""]
    return _text([*_glance(groups, tables, others), *found, *_care(groups), *_without_numbers(others)])


def summary(groups: Sequence[Group], tables: Sequence[tuple[EstimateSpec, list[Row]]], others: Sequence[Run]) -> str:
    """The same without the tables of single quantities, for a terminal."""
    return _text([*_glance(groups, tables, others), *_care(groups), *_without_numbers(others)])


def status(groups: Sequence[Group], others: Sequence[Run]) -> str:
    """How many runs have ended, and how."""
    finished = [run for group in groups for run in group.runs]
    states = Counter(run.state for run in (*finished, *others))
    collapsed = sum(run.is_collapsed for run in finished)
    told = ", ".join(f"{count} {state}" for state, count in states.items())
    return f"{len(groups)} configurations; runs: {told}" + (f"; {collapsed} collapsed" if collapsed else "")


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"


def _glance(
    groups: Sequence[Group], tables: Sequence[tuple[EstimateSpec, list[Row]]], others: Sequence[Run]
) -> Iterator[str]:  # fmt: skip
    yield from (f"# {status(groups, others)}", "")
    if found := versions([run for group in groups for run in group.runs]):
        yield from (escaped(f"Runs of different versions: {'; '.join(found)}."), "")
    for overview in overviews(tables):
        yield from (f"## {escaped(overview.data)}", "", *_overview(overview), "")


def _care(groups: Sequence[Group]) -> Iterator[str]:
    runs = [run for group in groups for run in group.runs]
    warned = [(run, *each) for run in runs for each in run.warnings] + [
        (run, "results.json", run.message) for run in runs if run.message
    ]
    if warned:
        yield from ("## To be read with care", "")
        yield from (f"- {escaped(run.name)}: {escaped(what)}: {escaped(warning)}" for run, what, warning in warned)
        yield ""


def _without_numbers(others: Sequence[Run]) -> Iterator[str]:
    for head, runs in without_numbers(others).items():
        yield from (f"## {head.capitalize()}", "")
        yield from (f"- {run.state}: {escaped(run.name)}: {escaped(run.told)}" for run in runs)
        yield ""


def without_numbers(others: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs without results by their heads: those that were refused before training are no failures."""
    refused = [run for run in others if run.state == "refused"]
    found = {"without numbers": [run for run in others if run.state != "refused"], "refused before training": refused}
    return {head: runs for head, runs in found.items() if runs}


def _overview(overview: Overview) -> Iterator[str]:
    yield from _table(overview.cells)
    yield from ("", READING, "")
    yield from (f"- {escaped(each)}" for each in overview.legend)


def _table(cells: Mapping[str, Sequence[Cell]]) -> Iterator[str]:
    """Columns by their heads."""
    yield line(list(cells))
    yield line(["---"] * len(cells))
    for row in zip(*cells.values(), strict=True):
        yield line([f"**{cell.shown}**" if cell.is_best else cell.shown for cell in row])


def line(cells: Sequence[str]) -> str:
    """Of a table."""
    return f"| {' | '.join(escaped(cell) for cell in cells)} |"


def escaped(text: str) -> str:
    """As it is, to a reader of Markdown that takes HTML."""
    for character, written in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("`", "'"), ("\n", " ")):
        text = text.replace(character, written)
    return text
