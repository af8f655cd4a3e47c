"""The comparison as one page of HTML that needs no other file and no network."""

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from dgm_run.report.groups import Group
from dgm_run.report.markdown import difference
from dgm_run.report.runs import Run
from dgm_run.report.tables import Row, Way, columns, versions

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
        '<p><input id="filter" type="search" placeholder="show rows and tables with ..." autofocus></p>',
        *_versions(groups),
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


def _section(way: Way, rows: Sequence[Row]) -> str:
    names = columns(rows)
    heads = [*names, "value", "difference to the best (95%)", "published", "note"]
    cells = []
    for row in rows:
        values = [str(row.group.settings.get(name, "")) for name in names]
        published = "" if row.published is None else str(row.published)
        numbers = ((row.number(), row.mean), (difference(row), ""), (published, published), (row.note, row.note))
        cells.append([*((v, v) for v in values), *numbers])
    return f"<section><h2>{escape(way.quantity)}</h2><p>{escape(way.describe())}</p>{_table(heads, cells)}</section>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[tuple[str, object]]]) -> str:
    """Cells are pairs of what is shown and what is sorted by."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(
        "<tr>" + "".join(f'<td data-by="{escape(str(by))}">{escape(shown)}</td>' for shown, by in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _costs(groups: Sequence[Group]) -> Iterator[str]:
    rows = []
    for group in groups:
        for run in group.runs:
            training = run.results.get("training", {})
            seconds, speed = training.get("seconds", 0.0), training.get("examples_per_second", 0.0)
            numbers = (run.results.get("parameters", 0), training.get("epochs", 0), round(seconds, 1), round(speed))
            named = (group.name, str(run.path), str(run.results.get("seed", "")))
            stopped = str(training.get("stopped_by", ""))
            rows.append([*((v, v) for v in named), *((f"{v:,}", v) for v in numbers), (stopped, stopped)])
    heads = ("configuration", "run", "seed", "parameters", "epochs", "seconds", "examples/s", "stopped by")
    yield f"<section><h2>Cost</h2>{_table(heads, rows)}</section>" if rows else ""


def _curves(groups: Sequence[Group]) -> Iterator[str]:
    monitors = dict.fromkeys(run.results.get("training", {}).get("monitor") for group in groups for run in group.runs)
    for monitor in filter(None, monitors):
        lines = [
            (group.name, COLOURS[i % len(COLOURS)], run.curves[monitor])
            for i, group in enumerate(groups)
            for run in group.runs
            if monitor in run.curves and len(run.curves[monitor][0]) > 1
        ]
        if lines:
            yield f"<section><h2>{escape(monitor)} over epochs</h2>{_chart(lines)}</section>"


def _chart(lines: Sequence[tuple[str, str, tuple[list[float], list[float]]]]) -> str:
    thin = [(name, colour, *_thinned(*points)) for name, colour, points in lines]
    x_end = max(max(x) for *_, x, _ in thin)
    values = sorted(v for *_, y in thin for v in y)
    low, high = values[len(values) // 20], values[-1]  # early values would press the rest together
    span = (high - low) or 1.0

    def place(x: float, y: float) -> str:
        right = MARGIN + (WIDTH - 2 * MARGIN) * x / x_end
        down = MARGIN / 2 + (HEIGHT - 1.5 * MARGIN) * (1 - (max(y, low) - low) / span)
        return f"{right:.1f},{down:.1f}"

    paths = "".join(
        f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{" ".join(map(place, x, y))}">'
        f"<title>{escape(name)}</title></polyline>"
        for name, colour, x, y in thin
    )
    floor = HEIGHT - MARGIN
    axes = (
        f'<text x="{MARGIN - 6}" y="{MARGIN / 2 + 4}" text-anchor="end">{high:.4g}</text>'
        f'<text x="{MARGIN - 6}" y="{floor}" text-anchor="end">{low:.4g}</text>'
        f'<text x="{WIDTH - MARGIN}" y="{floor + 18}" text-anchor="end">epoch {x_end:g}</text>'
        f'<line x1="{MARGIN}" y1="{floor}" x2="{WIDTH - MARGIN}" y2="{floor}" stroke="#999"/>'
    )
    legend = "".join(
        f'<li style="color:{colour}">{escape(name)}</li>' for name, colour in dict.fromkeys((n, c) for n, c, *_ in thin)
    )
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">{axes}{paths}</svg><ul class="legend">{legend}</ul>'


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
        f"<li><b>{escape(str(run.path))}</b> {escape(quantity)}: {escape(warning)}</li>"
        for group in groups
        for run in group.runs
        for quantity, warning in run.warnings
    ]
    yield f"<section><h2>To be read with care</h2><ul>{''.join(lines)}</ul></section>" if lines else ""


def _without_numbers(others: Sequence[Run]) -> Iterator[str]:
    lines = [f"<li><b>{run.state}</b> {escape(str(run.path))}: {escape(run.message)}</li>" for run in others]
    yield f"<section><h2>Without numbers</h2><ul>{''.join(lines)}</ul></section>" if lines else ""


_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1200px;padding:0 1em;color:#222}
h2{margin:1.6em 0 .2em}p{margin:.3em 0 .6em;color:#555}
table{border-collapse:collapse}th,td{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:left;white-space:nowrap}
th{cursor:pointer;background:#f6f6f6}th[aria-sort=ascending]:after{content:" \\2191"}
th[aria-sort=descending]:after{content:" \\2193"}
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
    for (const row of section.querySelectorAll('tbody tr, figure, li')) {
      const text = about + ' ' + row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
      any ||= !row.hidden;
    }
    section.hidden = words.length > 0 && !any;
  }
};
"""
