"""The report as one page of HTML that needs no other file and no network, or only the pictures of many runs."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from dgm_run.report.cells import Cell, make_cell, make_columns
from dgm_run.report.charts import draw_chart
from dgm_run.report.curves import collect_curves
from dgm_run.report.groups import Group
from dgm_run.report.html_table import link_run, render_table
from dgm_run.report.markdown import describe_status, group_failed
from dgm_run.report.overview import READING_NOTE, Overview, make_overviews
from dgm_run.report.pictures import COMPARED_PICTURES, MAX_RUNS_INSIDE, PictureStore, collect_last_pictures
from dgm_run.report.rows import Row
from dgm_run.report.run_parts import render_run
from dgm_run.report.runs import Run
from dgm_run.report.scatter import render_scatter
from dgm_run.report.searches import NamedSearch, draw_search
from dgm_run.report.tables import MAIN_QUANTITIES, EstimateSpec, describe_versions

DRAWING_NOTE = (
    "Small charts show numbers with their standard errors, and differences with their intervals, on the scale of the "
    "column. The number of a single run shows its 95% interval under the pointer."
)
Tables = Sequence[tuple[EstimateSpec, list[Row]]]
"""Rows of each specification."""


def render_page(
    title: str, groups: Sequence[Group], tables: Tables, others: Sequence[Run], searches: Sequence[NamedSearch] = ()
) -> str:
    """Renders a part for each search and data set, costs, a scatter plot, warnings, failed runs, and all runs."""
    pictures = _open_pictures([run for group in groups for run in group.runs], others)
    data_sets = dict.fromkeys(
        [*(spec.data_name for spec, _ in tables), *(group.runs[0].results["dataset"] for group in groups)]
    )
    parts = [_Part(search.title, [_render_search(search)]) for search in searches]
    parts += [_render_data_set(name, groups, tables, pictures) for name in data_sets]
    parts += [_Part(section.head, [section._replace(head="")]) for section in _render_common(groups, tables, others)]
    parts.append(_Part("Runs", [_Section("", _render_runs(groups, tables, others, pictures))]))
    links = "".join(f"<a href=#p{i}>{escape(part.head)}</a>" for i, part in enumerate(parts))
    body = [
        f"<h1>{escape(title)}</h1><p>{escape(describe_status(groups, others))}</p>{_render_versions(groups)}",
        '<header><input id="filter" type="search" placeholder="rows with ..., prior=vampprior, ...">',
        f"<nav>{links}</nav></header>",
        *(part.render(f"p{i}") for i, part in enumerate(parts)),
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_read_asset('page.css')}</style>"
    )
    script = f"<script>{_read_asset('page.js')}{_read_asset('scatter.js')}</script>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}{script}</body></html>\n'


class _Section(NamedTuple):
    """A section of the page: its head as text, and its body as HTML."""

    head: str
    body: str

    def render(self) -> str:
        head = f"<h3>{escape(self.head)}</h3>" if self.head else ""
        return f"<section>{head}{self.body}</section>"


class _Part(NamedTuple):
    """A collapsible part of the page.

    Attributes:
        head: head as text.
        sections: sections that are shown.
        more: sections that are folded.
    """

    head: str
    sections: Sequence[_Section]
    more: Sequence[_Section] = ()

    def render(self, anchor: str) -> str:
        body = "".join(section.render() for section in self.sections)
        if self.more:
            heads = ", ".join(dict.fromkeys(section.head for section in self.more))
            folded = "".join(section.render() for section in self.more)
            body += f"<details class=more><summary>Other quantities: {escape(heads)}</summary>{folded}</details>"
        return f'<details class=part id="{anchor}" open><summary><h2>{escape(self.head)}</h2></summary>{body}</details>'


def _read_asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text()


def _render_versions(groups: Sequence[Group]) -> str:
    versions = describe_versions([run for group in groups for run in group.runs])
    return f"<p>Runs of different versions: {escape('; '.join(versions))}.</p>" if versions else ""


def _open_pictures(runs: Sequence[Run], others: Sequence[Run]) -> PictureStore:
    """Returns the pictures of a page, whose folder is the root of the runs."""
    folder = next((run.root for run in [*runs, *others] if run.root), Path())
    return PictureStore(folder, len(runs) + len(others) <= MAX_RUNS_INSIDE)


def _render_data_set(name: str, groups: Sequence[Group], tables: Tables, pictures: PictureStore) -> _Part:
    """Renders the part of a data set: main quantities, likelihoods first; curves; pictures; all other quantities."""
    own_tables = [(spec, rows) for spec, rows in tables if spec.data_name == name]
    members = [group for group in groups if group.runs[0].results["dataset"] == name]
    main = [(spec, rows) for spec, rows in own_tables if spec.quantity in MAIN_QUANTITIES]
    others = [(spec, rows) for spec, rows in own_tables if spec.quantity not in MAIN_QUANTITIES]
    sections = [
        *map(_render_overview, make_overviews(own_tables)),
        *(_Section(spec.title, _render_estimates(spec, rows)) for spec, rows in main),
        *_render_curves(members),
        *_render_pictures(members, pictures),
    ]
    more = [_Section(spec.title, _render_estimates(spec, rows)) for spec, rows in others]
    return _Part(name or "Data without a name", sections, more)


def _render_common(groups: Sequence[Group], tables: Tables, others: Sequence[Run]) -> Iterator[_Section]:
    if scatter := render_scatter(groups, tables):
        yield _Section("Scatter plot", scatter)
    yield from _render_costs(groups)
    yield from _render_warnings(groups)
    yield from _render_failed(others)


def _render_runs(groups: Sequence[Group], tables: Tables, others: Sequence[Run], pictures: PictureStore) -> str:
    best = _find_best_runs(tables)
    named = [(run, group.name) for group in groups for run in group.runs]
    named += [(run, run.description) for run in others]
    return "".join(render_run(run, name, best.get(run.results.get("dataset", "")), pictures) for run, name in named)


def _find_best_runs(tables: Tables) -> dict[str, Run]:
    """Returns the best run of each data set by its first table."""
    best: dict[str, Run] = {}
    for spec, rows in tables:
        if spec.better and not spec.run and rows[0].finite_estimates:
            sign = 1 if spec.better == "higher" else -1
            run, _ = max(rows[0].finite_estimates, key=lambda pair: sign * pair[1]["value"])
            best.setdefault(spec.data_name, run)
    return best


def _render_search(search: NamedSearch) -> _Section:
    columns = search.make_columns()
    table = render_table(columns, [cell.shown for cell in columns["trial"]])
    return _Section("", f"<p>{escape(search.describe())}</p>{table}{draw_search(search.record)}")


def _render_overview(overview: Overview) -> _Section:
    legend = "".join(f"<li>{escape(each)}</li>" for each in overview.legend)
    notes = f"<p>{READING_NOTE} {DRAWING_NOTE}</p><ul class=small>{legend}</ul>"
    return _Section(overview.data, render_table(overview.cells, overview.names) + notes)


def _render_estimates(spec: EstimateSpec, rows: Sequence[Row]) -> str:
    table = render_table(make_columns(rows), [row.group.name for row in rows])
    return f"<p>{escape(spec.describe())}</p>{table}"


def _render_costs(groups: Sequence[Group]) -> Iterator[_Section]:
    rows = []
    names = []
    for group in groups:
        for run in group.runs:
            training = run.results["training"]
            numbers = (run.results["parameters"], training["epochs"], round(training["seconds"], 1))
            number_cells = [Cell(f"{v:,}", v) for v in (*numbers, round(training["examples_per_second"]))]
            run_cell = Cell(run.name, run.name, runs=[run.name])
            words = (make_cell(group.name), run_cell, make_cell(run.settings.get("seed", "")))
            rows.append([*words, *number_cells, make_cell(training["stopped_by"])])
            names.append(group.name)
    heads = ("configuration", "run", "seed", "parameters", "epochs", "seconds", "examples/s", "stopped by")
    if rows:
        columns = dict(zip(heads, zip(*rows, strict=True), strict=True))
        yield _Section("Cost", render_table(columns, names))


def _render_curves(groups: Sequence[Group]) -> Iterator[_Section]:
    for (monitor, _), lines in collect_curves(groups).items():
        yield _Section(f"{monitor} over epochs", draw_chart(lines))


def _render_pictures(groups: Sequence[Group], pictures: PictureStore) -> Iterator[_Section]:
    for name in COMPARED_PICTURES:
        figures = "".join(
            f'<figure data-about="{escape(group.name)}">{pictures.render(file)}'
            f"<figcaption>{escape(short_name)}</figcaption></figure>"
            for group, short_name, file in collect_last_pictures(groups, name)
        )
        if figures:
            yield _Section(name, f"<div class=pictures>{figures}</div>")


def _render_warnings(groups: Sequence[Group]) -> Iterator[_Section]:
    lines = []
    for run in (run for group in groups for run in group.runs):
        warnings = [*run.warnings, ("results.json", run.message)] if run.message else run.warnings
        lines += [f"<li>{link_run(run.name)} {escape(topic)}: {escape(text)}</li>" for topic, text in warnings]
    if lines:
        yield _Section("Warnings", f"<ul>{''.join(lines)}</ul>")


def _render_failed(others: Sequence[Run]) -> Iterator[_Section]:
    for head, runs in group_failed(others).items():
        lines = [f"<li><b>{run.state}</b> {link_run(run.name)}: {escape(run.description)}</li>" for run in runs]
        yield _Section(head, f"<ul>{''.join(lines)}</ul>")
