"""The report as one page of HTML that needs no other file and no network."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from dgm_run.report.cells import Cell, make_cell, make_columns
from dgm_run.report.charts import Line, choose_scale, draw_chart
from dgm_run.report.groups import Group
from dgm_run.report.markdown import describe_status, group_failed
from dgm_run.report.overview import READING_NOTE, Overview, make_overviews
from dgm_run.report.rows import Row
from dgm_run.report.runs import Run
from dgm_run.report.tables import EstimateSpec, describe_versions

PICTURES = ("samples", "samples_drawn", "reconstructions")
DRAWING_NOTE = (
    "Small charts show numbers with their standard errors, and differences with their intervals, on the scale of the "
    "column. The number of a single run shows its 95% interval under the pointer."
)


def render_page(
    title: str, groups: Sequence[Group], tables: Sequence[tuple[EstimateSpec, list[Row]]], others: Sequence[Run]
) -> str:  # fmt: skip
    """Renders sortable and filterable tables, learning curves, pictures, warnings, and runs without results."""
    sections = [
        *map(_render_overview, make_overviews(tables)),
        *(_Section(spec.title, _render_estimates(spec, rows)) for spec, rows in tables),
        *_render_costs(groups),
        *_render_curves(groups),
        *_render_pictures(groups),
        *_render_warnings(groups),
        *_render_failed(others),
    ]  # fmt: skip
    links: dict[str, int] = {}
    for i, section in enumerate(sections):
        links.setdefault(section.head, i)  # the first of several tables of a quantity
    body = [
        f"<h1>{escape(title)}</h1><p>{escape(describe_status(groups, others))}</p>{_render_versions(groups)}",
        '<header><input id="filter" type="search" placeholder="rows with ..., prior=VampPrior, ...">',
        f"<nav>{''.join(f'<a href=#s{i}>{escape(head)}</a>' for head, i in links.items())}</nav></header>",
        *(f"<section><h2 id=s{i}>{escape(each.head)}</h2>{each.body}</section>" for i, each in enumerate(sections)),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_read_asset("page.css")}</style>'
    script = f"<script>{_read_asset('page.js')}</script>"
    return f"<!doctype html><html><head>{head}</head><body>{''.join(body)}{script}</body></html>\n"


class _Section(NamedTuple):
    """A section of the page: its head as text, and its body as HTML."""

    head: str
    body: str


def _read_asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text()


def _render_versions(groups: Sequence[Group]) -> str:
    versions = describe_versions([run for group in groups for run in group.runs])
    return f"<p>Runs of different versions: {escape('; '.join(versions))}.</p>" if versions else ""


def _render_overview(overview: Overview) -> _Section:
    legend = "".join(f"<li>{escape(each)}</li>" for each in overview.legend)
    notes = f"<p>{READING_NOTE} {DRAWING_NOTE}</p><ul class=small>{legend}</ul>"
    return _Section(overview.data, _render_table(overview.cells, overview.names) + notes)


def _render_estimates(spec: EstimateSpec, rows: Sequence[Row]) -> str:
    table = _render_table(make_columns(rows), [row.group.name for row in rows])
    return f"<p>{escape(spec.describe())}</p>{table}"


def _render_table(columns: Mapping[str, Sequence[Cell]], names: Sequence[str]) -> str:
    """Renders columns by their heads; the filter also searches the names of the rows."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    cells = zip(*map(_render_column, columns.values()), strict=True)
    body = "".join(
        f'<tr data-about="{escape(name)}">{"".join(row)}</tr>' for row, name in zip(cells, names, strict=True)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _render_column(cells: Sequence[Cell]) -> list[str]:
    positions = [
        (cell.sort_key, cell.span) if cell.span and isinstance(cell.sort_key, int | float) else None for cell in cells
    ]
    numbers = [position for position in positions if position]
    scale = choose_scale(numbers) if len(cells) > 1 and numbers else None
    charts = [scale.draw(*position) if scale and position else "" for position in positions]
    return list(map(_render_cell, cells, charts))


def _render_cell(cell: Cell, chart: str) -> str:
    is_number = isinstance(cell.sort_key, int | float) and not isinstance(cell.sort_key, bool)
    classes = ["number"] * is_number + ["best"] * cell.is_best
    css_class = f' class="{" ".join(classes)}"' if classes else ""
    tip = f' title="{escape(cell.tip)}"' if cell.tip else ""
    return f'<td data-by="{escape(str(cell.sort_key))}"{css_class}{tip}>{escape(cell.shown)}{chart}</td>'


def _render_costs(groups: Sequence[Group]) -> Iterator[_Section]:
    rows = []
    names = []
    for group in groups:
        for run in group.runs:
            training = run.results["training"]
            numbers = (run.results["parameters"], training["epochs"], round(training["seconds"], 1))
            number_cells = [Cell(f"{v:,}", v) for v in (*numbers, round(training["examples_per_second"]))]
            words = (group.name, run.name, str(run.results.get("seed", "")))
            rows.append([*map(make_cell, words), *number_cells, make_cell(training["stopped_by"])])
            names.append(group.name)
    heads = ("configuration", "run", "seed", "parameters", "epochs", "seconds", "examples/s", "stopped by")
    if rows:
        columns = dict(zip(heads, zip(*rows, strict=True), strict=True))
        yield _Section("Cost", _render_table(columns, names))


def _render_curves(groups: Sequence[Group]) -> Iterator[_Section]:
    charts: dict[tuple[str, str], list[Line]] = {}
    for group in groups:
        for run in group.runs:
            monitor = run.results["training"]["monitor"]
            data = str(run.results.get("dataset"))
            if len(run.curves.get(monitor, ((),))[0]) > 1:
                charts.setdefault((monitor, data), []).append(Line(group.name, *run.curves[monitor]))
    for (monitor, data), lines in charts.items():
        yield _Section(f"{monitor} over epochs, {data}", draw_chart(lines))


def _render_pictures(groups: Sequence[Group]) -> Iterator[_Section]:
    for name in PICTURES:
        shown = [(group, files[-1]) for group in groups if (files := group.runs[0].pictures(name))]
        figures = "".join(
            f"<figure>{_render_image(file)}<figcaption>{escape(group.name)}</figcaption></figure>"
            for group, file in shown
        )
        if figures:
            yield _Section(name, f"<div class=pictures>{figures}</div>")


def _render_image(file: Path) -> str:
    try:
        data = base64.b64encode(file.read_bytes()).decode()
        return f'<img src="data:image/png;base64,{data}" alt="{escape(file.name)}">'
    except OSError as error:
        return f"<p>{escape(str(error))}</p>"


def _render_warnings(groups: Sequence[Group]) -> Iterator[_Section]:
    lines = []
    for run in (run for group in groups for run in group.runs):
        warnings = [*run.warnings, ("results.json", run.message)] if run.message else run.warnings
        lines += [f"<li><b>{escape(run.name)}</b> {escape(topic)}: {escape(text)}</li>" for topic, text in warnings]
    if lines:
        yield _Section("Warnings", f"<ul>{''.join(lines)}</ul>")


def _render_failed(others: Sequence[Run]) -> Iterator[_Section]:
    for head, runs in group_failed(others).items():
        lines = [f"<li><b>{run.state}</b> {escape(run.name)}: {escape(run.description)}</li>" for run in runs]
        yield _Section(head, f"<ul>{''.join(lines)}</ul>")
