"""The comparison as Markdown."""

from collections import Counter
from collections.abc import Iterator, Sequence

from dgm_run.report.groups import Group
from dgm_run.report.overview import READING, Overview, overviews
from dgm_run.report.runs import Run
from dgm_run.report.tables import Difference, Row, Way, columns, digits, versions


def document(groups: Sequence[Group], tables: Sequence[tuple[Way, list[Row]]], others: Sequence[Run]) -> str:
    """What is known at a glance, all tables, what is to be read with care and the runs that have no numbers."""
    found = []
    for way, rows in tables:
        found += [f"## {escaped(way.quantity)}", "", escaped(way.describe()), "", *_table(rows), ""]
    return _text([*_glance(groups, tables, others), *found, *_care(groups), *_without_numbers(others)])


def summary(groups: Sequence[Group], tables: Sequence[tuple[Way, list[Row]]], others: Sequence[Run]) -> str:
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
    groups: Sequence[Group], tables: Sequence[tuple[Way, list[Row]]], others: Sequence[Run]
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
    if others:
        yield from ("## Without numbers", "")
        yield from (f"- {run.state}: {escaped(run.name)}: {escaped(run.told)}" for run in others)


def _overview(overview: Overview) -> Iterator[str]:
    yield line(list(overview.cells))
    yield line(["---"] * len(overview.cells))
    for row in zip(*overview.cells.values(), strict=True):
        yield line([f"**{cell.shown}**" if cell.is_best else cell.shown for cell in row])
    yield from ("", READING, "")
    yield from (f"- {escaped(each)}" for each in overview.legend)


def _table(rows: Sequence[Row]) -> Iterator[str]:
    names = columns(rows)
    cells = {
        **{name: [str(row.group.settings.get(name, "")) for row in rows] for name in names},
        **({} if names else {"configuration": [row.group.name for row in rows]}),
        "value": [row.number() for row in rows],
        "difference to the best (95% for all pairs)": [difference(row) for row in rows],
        "floor": ["" if row.floor is None else digits(row.floor) for row in rows],
        "published": ["" if row.published is None else f"{row.published[0]:g} ({row.published[1]})" for row in rows],
        "note": [row.note for row in rows],
        "runs": [", ".join(run.name for run in row.group.runs) for row in rows],
    }
    shown = {head: column for head, column in cells.items() if any(column)}
    yield line(list(shown))
    yield line(["---"] * len(shown))
    yield from map(line, zip(*shown.values(), strict=True))


def difference(row: Row) -> str:
    """With its 95% interval and what it is told from, or why there is none."""
    if not isinstance(row.difference, Difference):
        return row.difference
    mean, low, high, over = row.difference
    return f"{digits(mean)} ({digits(low)} to {digits(high)}, {over})"


def line(cells: Sequence[str]) -> str:
    """Of a table."""
    return f"| {' | '.join(escaped(cell) for cell in cells)} |"


def escaped(text: str) -> str:
    """As it is, to a reader of Markdown that takes HTML."""
    for character, written in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("`", "'"), ("\n", " ")):
        text = text.replace(character, written)
    return text
