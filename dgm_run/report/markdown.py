"""The comparison as Markdown."""

from collections.abc import Iterator, Sequence

from dgm_run.report.groups import Group
from dgm_run.report.runs import Run
from dgm_run.report.tables import Row, Way, columns, digits, versions


def document(groups: Sequence[Group], tables: Sequence[tuple[Way, list[Row]]], others: Sequence[Run]) -> str:
    """All tables, and below them the runs that have no numbers."""
    lines = [f"# {len(groups)} configurations, {sum(len(group.runs) for group in groups)} finished runs", ""]
    runs = [run for group in groups for run in group.runs]
    if found := versions(runs):
        lines += [f"Runs of different versions: {'; '.join(found)}.", ""]
    for way, rows in tables:
        lines += [f"## {way.quantity}", "", way.describe(), "", *_table(rows), ""]
    if warned := [(run, *each) for run in runs for each in run.warnings]:
        lines += ["## To be read with care", ""]
        lines += [f"- `{run.path}`: {quantity}: {_escaped(warning)}" for run, quantity, warning in warned]
        lines.append("")
    if others:
        lines += ["## Without numbers", ""]
        lines += [f"- {run.state}: `{run.path}`: {_escaped(run.message)}" for run in others]
    return "\n".join(lines).rstrip() + "\n"


def _table(rows: Sequence[Row]) -> Iterator[str]:
    names = columns(rows)
    head = [*names, "value", "difference to the best"]
    with_published = any(row.published is not None for row in rows)
    head += ["published"] if with_published else []
    with_notes = any(row.note for row in rows)
    head += ["note"] if with_notes else []
    yield line(head)
    yield line(["---"] * len(head))
    for row in rows:
        cells = [str(row.group.settings.get(name, "")) for name in names]
        cells += [row.number(), difference(row)]
        cells += ["" if row.published is None else str(row.published)] if with_published else []
        cells += [row.note] if with_notes else []
        yield line(cells)


def difference(row: Row) -> str:
    """With its 95% interval."""
    if row.difference is None:
        return ""
    mean, stderr = row.difference
    return f"{digits(mean)} ({digits(mean - 1.96 * stderr)} to {digits(mean + 1.96 * stderr)})"


def line(cells: Sequence[str]) -> str:
    """Of a table."""
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
