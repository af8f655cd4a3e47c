"""The comparison as Markdown."""

from collections.abc import Iterator, Sequence

from dgm_run.report.groups import Group
from dgm_run.report.overview import READING, Overview, overviews
from dgm_run.report.runs import Run
from dgm_run.report.tables import Difference, Row, Way, columns, digits, versions


def document(groups: Sequence[Group], tables: Sequence[tuple[Way, list[Row]]], others: Sequence[Run]) -> str:
    """All tables, and below them what is to be read with care and the runs that have no numbers."""
    lines = [f"# {len(groups)} configurations, {sum(len(group.runs) for group in groups)} finished runs", ""]
    runs = [run for group in groups for run in group.runs]
    if found := versions(runs):
        lines += [escaped(f"Runs of different versions: {'; '.join(found)}."), ""]
    for overview in overviews(tables):
        lines += [f"## {escaped(overview.data)}", "", *_overview(overview), ""]
    for way, rows in tables:
        lines += [f"## {escaped(way.quantity)}", "", escaped(way.describe()), "", *_table(rows), ""]
    warned = [(run, *each) for run in runs for each in run.warnings] + [
        (run, "results.json", run.message) for run in runs if run.message
    ]
    if warned:
        lines += ["## To be read with care", ""]
        lines += [f"- {escaped(run.name)}: {escaped(what)}: {escaped(warning)}" for run, what, warning in warned]
        lines.append("")
    if others:
        lines += ["## Without numbers", ""]
        lines += [f"- {run.state}: {escaped(run.name)}: {escaped(run.told)}" for run in others]
    return "\n".join(lines).rstrip() + "\n"


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
