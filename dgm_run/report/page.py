"""The comparison as one page of HTML that needs no other file and no network."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from dgm_run.report.cells import Cell, comparison, plain
from dgm_run.report.charts import Line, chart, scale
from dgm_run.report.groups import Group
from dgm_run.report.markdown import status, without_numbers
from dgm_run.report.overview import READING, Overview, overviews
from dgm_run.report.rows import Row
from dgm_run.report.runs import Run
from dgm_run.report.tables import EstimateSpec, versions

PICTURES = ("samples", "samples_drawn", "reconstructions")
DRAWN = (
    "A number is drawn with its standard error, a difference with its interval, on the scale of the column. The number "
    "of a single run shows its 95% interval under the pointer."
)


def page(
    title: str, groups: Sequence[Group], tables: Sequence[tuple[EstimateSpec, list[Row]]], others: Sequence[Run]
) -> str:  # fmt: skip
    """Tables that a click sorts and a word filters, learning curves, pictures side by side, what has no numbers."""
    sections = [
        *map(_overview, overviews(tables)),
        *(_Section(way.title, f"<p>{escape(way.describe())}</p>{_table(comparison(rows), _about(rows))}")
          for way, rows in tables),
        *_costs(groups),
        *_curves(groups),
        *_pictures(groups),
        *_warnings(groups),
        *_without_numbers(others),
    ]  # fmt: skip
    links: dict[str, int] = {}
    for i, section in enumerate(sections):
        links.setdefault(section.head, i)  # the first of several tables of a quantity
    body = [
        f"<h1>{escape(title)}</h1><p>{escape(status(groups, others))}</p>{_versions(groups)}",
        '<header><input id="filter" type="search" placeholder="rows with ..., prior=VampPrior, ...">',
        f"<nav>{''.join(f'<a href=#s{i}>{escape(head)}</a>' for head, i in links.items())}</nav></header>",
        *(f"<section><h2 id=s{i}>{escape(each.head)}</h2>{each.body}</section>" for i, each in enumerate(sections)),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_beside("page.css")}</style>'
    script = f"<script>{_beside('page.js')}</script>"
    return f"<!doctype html><html><head>{head}</head><body>{''.join(body)}{script}</body></html>\n"


class _Section(NamedTuple):
    """A head, as text, and what stands below it, as HTML."""

    head: str
    body: str


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text()


def _versions(groups: Sequence[Group]) -> str:
    found = versions([run for group in groups for run in group.runs])
    return f"<p>Runs of different versions: {escape('; '.join(found))}.</p>" if found else ""


def _overview(overview: Overview) -> _Section:
    legend = "".join(f"<li>{escape(each)}</li>" for each in overview.legend)
    about = f"<p>{READING} {DRAWN}</p><ul class=small>{legend}</ul>"
    return _Section(overview.data, _table(overview.cells, overview.names) + about)


def _about(rows: Sequence[Row]) -> list[str]:
    return [row.group.name for row in rows]


def _table(columns: Mapping[str, Sequence[Cell]], about: Sequence[str]) -> str:
    """Columns by their heads; a word is looked for in what a row is about as well."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    cells = zip(*map(_column, columns.values()), strict=True)
    body = "".join(
        f'<tr data-about="{escape(what)}">{"".join(row)}</tr>' for row, what in zip(cells, about, strict=True)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _column(cells: Sequence[Cell]) -> list[str]:
    places = [(cell.by, cell.span) if cell.span and isinstance(cell.by, int | float) else None for cell in cells]
    numbers = [place for place in places if place]
    found = scale(numbers) if len(cells) > 1 and numbers else None
    drawn = [found.drawn(*place) if found and place else "" for place in places]
    return list(map(_td, cells, drawn))


def _td(cell: Cell, drawn: str) -> str:
    is_number = isinstance(cell.by, int | float) and not isinstance(cell.by, bool)
    kinds = [name for name, is_so in (("number", is_number), ("best", cell.is_best)) if is_so]
    kind = f' class="{" ".join(kinds)}"' if kinds else ""
    tip = f' title="{escape(cell.tip)}"' if cell.tip else ""
    return f'<td data-by="{escape(str(cell.by))}"{kind}{tip}>{escape(cell.shown)}{drawn}</td>'


def _costs(groups: Sequence[Group]) -> Iterator[_Section]:
    rows, about = [], []
    for group in groups:
        for run in group.runs:
            training = run.results["training"]
            numbers = (run.results["parameters"], training["epochs"], round(training["seconds"], 1))
            shown = [*(Cell(f"{v:,}", v) for v in (*numbers, round(training["examples_per_second"])))]
            named = (group.name, run.name, str(run.results.get("seed", "")))
            rows.append([*map(plain, named), *shown, plain(training["stopped_by"])])
            about.append(group.name)
    heads = ("configuration", "run", "seed", "parameters", "epochs", "seconds", "examples/s", "stopped by")
    if rows:
        yield _Section("cost", _table(dict(zip(heads, zip(*rows, strict=True), strict=True)), about))


def _curves(groups: Sequence[Group]) -> Iterator[_Section]:
    charts: dict[tuple[str, str], list[Line]] = {}
    for group in groups:
        for run in group.runs:
            monitor, data = run.results["training"]["monitor"], str(run.results.get("dataset"))
            if len(run.curves.get(monitor, ((),))[0]) > 1:
                charts.setdefault((monitor, data), []).append(Line(group.name, *run.curves[monitor]))
    for (monitor, data), lines in charts.items():
        yield _Section(f"{monitor} over epochs, {data}", chart(lines))


def _pictures(groups: Sequence[Group]) -> Iterator[_Section]:
    for name in PICTURES:
        shown = [(group, files[-1]) for group in groups if (files := group.runs[0].pictures(name))]
        figures = "".join(
            f"<figure>{_image(file)}<figcaption>{escape(group.name)}</figcaption></figure>" for group, file in shown
        )
        if figures:
            yield _Section(name, f"<div class=pictures>{figures}</div>")


def _image(file: Path) -> str:
    try:
        data = base64.b64encode(file.read_bytes()).decode()
        return f'<img src="data:image/png;base64,{data}" alt="{escape(file.name)}">'
    except OSError as error:
        return f"<p>{escape(str(error))}</p>"


def _warnings(groups: Sequence[Group]) -> Iterator[_Section]:
    lines = [
        f"<li><b>{escape(run.name)}</b> {escape(quantity)}: {escape(warning)}</li>"
        for group in groups
        for run in group.runs
        for quantity, warning in [*run.warnings, *([("results.json", run.message)] if run.message else [])]
    ]
    if lines:
        yield _Section("to be read with care", f"<ul>{''.join(lines)}</ul>")


def _without_numbers(others: Sequence[Run]) -> Iterator[_Section]:
    for head, runs in without_numbers(others).items():
        lines = [f"<li><b>{run.state}</b> {escape(run.name)}: {escape(run.told)}</li>" for run in runs]
        yield _Section(head, f"<ul>{''.join(lines)}</ul>")
