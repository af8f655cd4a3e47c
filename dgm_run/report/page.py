"""The comparison as one page of HTML that needs no other file and no network."""

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from dgm_run.report.groups import Group
from dgm_run.report.markdown import difference, status
from dgm_run.report.overview import NOTHING, READING, Cell, Overview, overviews, plain
from dgm_run.report.runs import Run
from dgm_run.report.tables import Difference, Row, Way, columns, digits, versions

PICTURES = ("samples", "samples_drawn", "reconstructions")
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
WIDTH, HEIGHT, MARGIN = 640, 300, 48
POINTS = 300
"""Of a curve, at most."""


def page(
    title: str, groups: Sequence[Group], tables: Sequence[tuple[Way, list[Row]]], others: Sequence[Run]
) -> str:  # fmt: skip
    """Tables that a click sorts and a word filters, learning curves, pictures side by side, what has no numbers."""
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(status(groups, others))}</p>",
        '<p><input id="filter" type="search" placeholder="rows with ..., prior=VampPrior, ..." autofocus></p>',
        *_versions(groups),
        *map(_overview, overviews(tables)),
        *(_section(way, rows) for way, rows in tables),
        *_costs(groups),
        *_curves(groups),
        *_pictures(groups),
        *_warnings(groups),
        *_without_numbers(others),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f"<!doctype html><html><head>{head}</head><body>{''.join(body)}<script>{_SCRIPT}</script></body></html>\n"


def _versions(groups: Sequence[Group]) -> Iterator[str]:
    if found := versions([run for group in groups for run in group.runs]):
        yield f"<p>Runs of different versions: {escape('; '.join(found))}.</p>"


def _overview(overview: Overview) -> str:
    rows = list(zip(*overview.cells.values(), strict=True))
    legend = "".join(f"<li>{escape(each)}</li>" for each in overview.legend)
    table = _table(list(overview.cells), rows, overview.names)
    return f"<section><h2>{escape(overview.data)}</h2>{table}<p>{READING}</p><ul class=small>{legend}</ul></section>"


def _section(way: Way, rows: Sequence[Row]) -> str:
    names = columns(rows)
    cells: dict[str, list[Cell]] = {
        **{name: [plain(row.group.settings.get(name, "")) for row in rows] for name in names},
        **({} if names else {"configuration": [plain(row.group.name) for row in rows]}),
        "value": [Cell(row.number(), row.mean) for row in rows],
        "difference to the best (95% for all pairs)": [
            Cell(difference(row), row.difference.mean if isinstance(row.difference, Difference) else "") for row in rows
        ],
        "floor": [NOTHING if row.floor is None else Cell(digits(row.floor), row.floor) for row in rows],
        "published": [
            NOTHING if row.published is None else Cell(f"{row.published[0]:g} ({row.published[1]})", row.published[0])
            for row in rows
        ],
        "note": [plain(row.note) for row in rows],
        "runs": [plain(", ".join(run.name for run in row.group.runs)) for row in rows],
    }
    shown = {head: column for head, column in cells.items() if any(cell.shown for cell in column)}
    about = [row.group.name for row in rows]
    table = _table(list(shown), list(zip(*shown.values(), strict=True)), about)
    return f"<section><h2>{escape(way.quantity)}</h2><p>{escape(way.describe())}</p>{table}</section>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Cell]], about: Sequence[str]) -> str:
    """A word is looked for in what a row is about as well."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(
        f'<tr data-about="{escape(what)}">' + "".join(map(_td, row)) + "</tr>"
        for row, what in zip(rows, about, strict=True)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _td(cell: Cell) -> str:
    best = " class=best" if cell.is_best else ""
    return f'<td data-by="{escape(str(cell.by))}"{best}>{escape(cell.shown)}</td>'


def _costs(groups: Sequence[Group]) -> Iterator[str]:
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
    yield f"<section><h2>Cost</h2>{_table(heads, rows, about)}</section>" if rows else ""


def _curves(groups: Sequence[Group]) -> Iterator[str]:
    charts: dict[tuple[str, str], list[_Line]] = {}
    for group in groups:
        for run in group.runs:
            monitor, data = run.results["training"]["monitor"], str(run.results.get("dataset"))
            if len(run.curves.get(monitor, ((),))[0]) > 1:
                charts.setdefault((monitor, data), []).append(_Line(group.name, *_thinned(*run.curves[monitor])))
    for (monitor, data), lines in charts.items():
        yield f"<section><h2>{escape(monitor)} over epochs, {escape(data)}</h2>{_chart(lines)}</section>"


class _Line(NamedTuple):
    name: str
    x: list[float]
    y: list[float]


def _chart(lines: Sequence[_Line]) -> str:
    x_end = max(max(line.x) for line in lines) or 1.0
    low, high = _range([line.y for line in lines])
    style = {name: _stroke(i) for i, name in enumerate(dict.fromkeys(line.name for line in lines))}

    def place(x: float, y: float) -> str:
        right = MARGIN + (WIDTH - 2 * MARGIN) * x / x_end
        return f"{right:.1f},{_down((min(max(y, low), high) - low) / (high - low)):.1f}"

    paths = "".join(
        f'<polyline data-about="{escape(line.name)}" fill="none" stroke-width="1.5" {style[line.name]} '
        f'points="{" ".join(map(place, line.x, line.y))}"><title>{escape(line.name)}</title></polyline>'
        for line in lines
    )
    ticks = "".join(
        f'<line x1="{MARGIN}" y1="{_down(part):.1f}" x2="{WIDTH - MARGIN}" y2="{_down(part):.1f}" stroke="#ddd"/>'
        f'<text x="{MARGIN - 6}" y="{_down(part) + 4:.1f}" text-anchor="end">{low + part * (high - low):.4g}</text>'
        for part in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    end = f'<text x="{WIDTH - MARGIN}" y="{_down(0.0) + 18:.1f}" text-anchor="end">epoch {x_end:g}</text>'
    legend = "".join(
        f'<li data-about="{escape(name)}"><svg width="28" height="8"><line x1="0" y1="4" x2="28" y2="4" '
        f'stroke-width="2" {stroke}/></svg> {escape(name)}</li>'
        for name, stroke in style.items()
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">{ticks}{end}{paths}</svg><ul class="legend">{legend}</ul>'
    )


def _range(curves: Sequence[Sequence[float]]) -> tuple[float, float]:
    """From what most curves have left behind early to the best; one that has gone astray does not press them flat."""
    lows = sorted(sorted(y)[len(y) // 20] for y in curves)
    highs = sorted(max(y) for y in curves)
    middle, high = lows[len(lows) // 2], highs[-1]
    if high - highs[len(highs) // 2] > 10 * (highs[len(highs) // 2] - middle):
        high = highs[len(highs) // 2]
    low = max(lows[0], middle - 2 * (high - middle))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _down(part: float) -> float:
    """Where a part of the height lies in a picture, from its top."""
    return MARGIN / 2 + (HEIGHT - 1.5 * MARGIN) * (1 - part)


def _stroke(i: int) -> str:
    dashes = ("", "6 3", "2 2", "8 2 2 2")[i // len(COLOURS) % 4]
    return f'stroke="{COLOURS[i % len(COLOURS)]}"' + (f' stroke-dasharray="{dashes}"' if dashes else "")


def _thinned(x: list[float], y: list[float]) -> tuple[list[float], list[float]]:
    step = -(-len(x) // POINTS)
    return x[::step] + x[-1:], y[::step] + y[-1:]


def _pictures(groups: Sequence[Group]) -> Iterator[str]:
    for name in PICTURES:
        shown = [(group, files[-1]) for group in groups if (files := group.runs[0].pictures(name))]
        figures = "".join(
            f"<figure>{_image(file)}<figcaption>{escape(group.name)}</figcaption></figure>" for group, file in shown
        )
        if figures:
            yield f"<section><h2>{escape(name)}</h2><div class=pictures>{figures}</div></section>"


def _image(file: Path) -> str:
    try:
        data = base64.b64encode(file.read_bytes()).decode()
        return f'<img src="data:image/png;base64,{data}" alt="{escape(file.name)}">'
    except OSError as error:
        return f"<p>{escape(str(error))}</p>"


def _warnings(groups: Sequence[Group]) -> Iterator[str]:
    lines = [
        f"<li><b>{escape(run.name)}</b> {escape(quantity)}: {escape(warning)}</li>"
        for group in groups
        for run in group.runs
        for quantity, warning in [*run.warnings, *([("results.json", run.message)] if run.message else [])]
    ]
    yield f"<section><h2>To be read with care</h2><ul>{''.join(lines)}</ul></section>" if lines else ""


def _without_numbers(others: Sequence[Run]) -> Iterator[str]:
    lines = [f"<li><b>{run.state}</b> {escape(run.name)}: {escape(run.told)}</li>" for run in others]
    yield f"<section><h2>Without numbers</h2><ul>{''.join(lines)}</ul></section>" if lines else ""


_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1500px;padding:0 1em;color:#222}
h2{margin:1.6em 0 .2em}p{margin:.3em 0 .6em;color:#555}
table{border-collapse:collapse}th,td{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:left;max-width:24em}
th{cursor:pointer;background:#f6f6f6}th[aria-sort=ascending]:after{content:" \\2191"}
th[aria-sort=descending]:after{content:" \\2193"}
.best{font-weight:bold}.small,.small+p{font-size:85%;color:#555}
td{font-variant-numeric:tabular-nums}input{padding:.4em .6em;width:24em;max-width:100%;font:inherit}
.pictures{display:flex;flex-wrap:wrap;gap:1em}figure{margin:0}img{image-rendering:pixelated;max-width:360px}
figcaption{font-size:85%;color:#555;max-width:360px}.legend{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:1em}
svg text{font-size:11px;fill:#555}section{overflow-x:auto}[hidden]{display:none}
"""

_SCRIPT = """
const key = (row, i) => { const v = row.cells[i].dataset.by, n = Number(v); return v !== '' && !isNaN(n) ? n : v; };
const compare = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === 'number' ? -1 : 1;
for (const head of document.querySelectorAll('th')) head.onclick = () => {
  const body = head.closest('table').tBodies[0], i = head.cellIndex, up = head.ariaSort !== 'ascending';
  for (const other of head.parentNode.cells) other.ariaSort = null;
  head.ariaSort = up ? 'ascending' : 'descending';
  body.append(...[...body.rows].sort((a, b) => (up ? 1 : -1) * compare(key(a, i), key(b, i))));
};
document.getElementById('filter').oninput = event => {
  const words = event.target.value.toLowerCase().split(/\\s+/).filter(Boolean);
  for (const section of document.querySelectorAll('section')) {
    const about = [...section.querySelectorAll('h2, p')].map(each => each.textContent).join(' ').toLowerCase();
    let any = false;
    for (const row of section.querySelectorAll('tbody tr, figure, li, polyline')) {
      const settings = (row.dataset.about || '').toLowerCase();
      const text = `${about} ${row.textContent} ${settings}`.toLowerCase();
      const is = word => settings.split(', ').some(one => one === word || one.endsWith('.' + word));
      const has = word => word.includes('=') ? is(word) : text.includes(word);
      const hidden = !words.every(has);
      row.toggleAttribute('hidden', hidden);
      any ||= !hidden;
    }
    section.hidden = words.length > 0 && !any;
  }
};
"""
