"""The report as Markdown."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from dgm_run.report.cells import Cell, make_columns
from dgm_run.report.groups import Group
from dgm_run.report.overview import READING_NOTE, Overview, make_overviews
from dgm_run.report.rows import Row
from dgm_run.report.runs import Run
from dgm_run.report.searches import NamedSearch
from dgm_run.report.tables import EstimateSpec, describe_versions


def render_document(
    groups: Sequence[Group],
    tables: Sequence[tuple[EstimateSpec, list[Row]]],
    others: Sequence[Run],
    searches: Sequence[NamedSearch] = (),
) -> str:
    """Renders the overview, the searches, all tables, the warnings and the runs without results."""
    sections = []
    for spec, rows in tables:
        table = _render_table(make_columns(rows))
        sections += [f"## {escape(spec.title)}", "", escape(spec.describe()), "", *table, ""]
    return _join(
        [
            *_render_overviews(groups, tables, others),
            *_render_searches(searches),
            *sections,
            *_list_warnings(groups),
            *_list_failed(others),
        ]
    )


def render_summary(
    groups: Sequence[Group],
    tables: Sequence[tuple[EstimateSpec, list[Row]]],
    others: Sequence[Run],
    searches: Sequence[NamedSearch] = (),
) -> str:
    """Renders the document without the tables of single quantities, for a terminal."""
    overviews = _render_overviews(groups, tables, others)
    return _join([*overviews, *_render_searches(searches), *_list_warnings(groups), *_list_failed(others)])


def describe_status(groups: Sequence[Group], others: Sequence[Run]) -> str:
    """States the number of runs in each state."""
    finished = [run for group in groups for run in group.runs]
    states = Counter(run.state for run in (*finished, *others))
    num_collapsed = sum(run.is_collapsed for run in finished)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    configurations = f"{len(groups)} configuration" + ("" if len(groups) == 1 else "s")
    return f"{configurations}; runs: {counts}" + (f"; {num_collapsed} collapsed" if num_collapsed else "")


def _join(lines: Sequence[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"


def _render_overviews(
    groups: Sequence[Group], tables: Sequence[tuple[EstimateSpec, list[Row]]], others: Sequence[Run]
) -> Iterator[str]:  # fmt: skip
    yield from (f"# {describe_status(groups, others)}", "")
    if versions := describe_versions([run for group in groups for run in group.runs]):
        yield from (escape(f"Runs of different versions: {'; '.join(versions)}."), "")
    for overview in make_overviews(tables):
        yield from (f"## {escape(overview.data)}", "", *_render_overview(overview), "")


def _render_searches(searches: Sequence[NamedSearch]) -> Iterator[str]:
    for search in searches:
        yield from (f"## {escape(search.title)}", "", escape(search.describe()), "")
        yield from (*_render_table(search.make_columns()), "")


def _list_warnings(groups: Sequence[Group]) -> Iterator[str]:
    runs = [run for group in groups for run in group.runs]
    warnings = [(run, *each) for run in runs for each in run.warnings]
    warnings += [(run, "results.json", run.message) for run in runs if run.message]
    if warnings:
        yield from ("## Warnings", "")
        yield from (f"- {escape(run.name)}: {escape(topic)}: {escape(warning)}" for run, topic, warning in warnings)
        yield ""


def _list_failed(others: Sequence[Run]) -> Iterator[str]:
    for head, runs in group_failed(others).items():
        yield from (f"## {head}", "")
        yield from (f"- {run.state}: {escape(run.name)}: {escape(run.description)}" for run in runs)
        yield ""


def group_failed(others: Sequence[Run]) -> dict[str, list[Run]]:
    """Groups runs without results by heading. Runs refused before training have a heading of their own."""
    groups = {
        "Runs without results": [run for run in others if run.state != "refused"],
        "Runs refused before training": [run for run in others if run.state == "refused"],
    }
    return {head: runs for head, runs in groups.items() if runs}


def _render_overview(overview: Overview) -> Iterator[str]:
    yield from _render_table(overview.cells)
    yield from ("", READING_NOTE, "")
    yield from (f"- {escape(each)}" for each in overview.legend)


def _render_table(cells: Mapping[str, Sequence[Cell]]) -> Iterator[str]:
    """Yields the lines of a table of columns by their heads."""
    yield render_row(list(cells))
    yield render_row(["---"] * len(cells))
    for row in zip(*cells.values(), strict=True):
        yield render_row([f"**{cell.shown}**" if cell.is_best else cell.shown for cell in row])


def render_row(cells: Sequence[str]) -> str:
    """Returns a row of a table."""
    return f"| {' | '.join(escape(cell) for cell in cells)} |"


def escape(text: str) -> str:
    """Escapes text so that a reader of Markdown with HTML shows it as it is."""
    for character, written in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("`", "'"), ("\n", " ")):
        text = text.replace(character, written)
    return text
