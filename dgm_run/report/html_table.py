"""Tables of a report as HTML, sortable by the script of the page."""

import hashlib
from collections.abc import Mapping, Sequence
from html import escape

from dgm_run.report.cells import Cell
from dgm_run.report.charts import choose_scale

MAX_ONE_LINE = 28
"""Largest number of characters of a number with its error that stay on one line."""


def render_table(columns: Mapping[str, Sequence[Cell]], names: Sequence[str]) -> str:
    """Renders columns by their heads; the filter also searches the names of the rows."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    cells = zip(*map(_render_column, columns.values()), strict=True)
    body = "".join(
        f'<tr data-about="{escape(name)}">{"".join(row)}</tr>' for row, name in zip(cells, names, strict=True)
    )
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def link_run(name: str) -> str:
    """Returns the name of a run as a link to its part of the page."""
    return f'<a href="#{make_anchor(name)}">{escape(name)}</a>'


def make_anchor(name: str) -> str:
    """Returns the anchor of a run's part of the page; names hold characters that anchors cannot have."""
    return f"run-{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _render_column(cells: Sequence[Cell]) -> list[str]:
    positions = [
        (cell.sort_key, cell.span) if cell.span and isinstance(cell.sort_key, int | float) else None for cell in cells
    ]
    numbers = [position for position in positions if position]
    scale = choose_scale(numbers) if len(cells) > 1 and numbers else None
    charts = [scale.draw(*position) if scale and position else "" for position in positions]
    return list(map(_render_cell, cells, charts))


def _render_cell(cell: Cell, chart: str) -> str:
    is_number = isinstance(cell.sort_key, int | float)
    classes = ["number"] * is_number + ["long"] * (len(cell.shown) > MAX_ONE_LINE) + ["best"] * cell.is_best
    css_class = f' class="{" ".join(classes)}"' if classes else ""
    tip = f' title="{escape(cell.tip)}"' if cell.tip else ""
    shown = ", ".join(map(link_run, cell.runs)) if cell.runs else escape(cell.shown)
    return f'<td data-by="{escape(str(cell.sort_key))}"{css_class}{tip}>{shown}{chart}</td>'
