"""SVG charts: curves over epochs, and numbers with their errors on the scale of their column."""

import math
from collections.abc import Sequence
from html import escape
from statistics import median
from typing import NamedTuple

from dgm_run.report.cells import Span
from dgm_run.report.curves import OUTLIER_FACTOR, Line, choose_range, choose_ticks, format_ticks

COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
WIDTH = 480
HEIGHT = 270
MARGIN = 56
MAX_POINTS = 300
"""Largest number of points of a curve, unless the caller asks for fewer."""


def draw_chart(lines: Sequence[Line], max_points: int = MAX_POINTS) -> str:
    """Draws curves with a legend. Curves of one name have one colour. A line below gives the values beyond the axis."""
    lines = [Line(line.name, *_thin_out(line.x, line.y, max_points), line.about) for line in lines]
    x_end = max(max(line.x) for line in lines) or 1.0
    low, high = choose_range([line.y for line in lines])
    about = {line.name: line.about for line in lines}
    style = {name: _style_stroke(i) for i, name in enumerate(dict.fromkeys(line.name for line in lines))}

    def place(x: float, y: float) -> str:
        return f"{_map_width(x / x_end):.1f},{_map_height((min(max(y, low), high) - low) / (high - low)):.1f}"

    paths = "".join(
        f'<polyline data-about="{escape(line.about)}" fill="none" stroke-width="1.5" {style[line.name]} '
        f'points="{" ".join(map(place, line.x, line.y))}"><title>{escape(line.name)}</title></polyline>'
        for line in lines
    )
    axes = _draw_axes(low, high, x_end)
    legend = "".join(
        f'<li data-about="{escape(about[name])}"><svg width="28" height="8"><line x1="0" y1="4" x2="28" y2="4" '
        f'stroke-width="2" {stroke}/></svg> {escape(name)}</li>'
        for name, stroke in style.items()
    )
    return (
        f'<svg class=chart viewBox="0 0 {WIDTH} {HEIGHT}">{axes}{paths}</svg>'
        f'{_describe_cut(lines, low, high)}<ul class="legend">{legend}</ul>'
    )


def _draw_axes(low: float, high: float, x_end: float) -> str:
    """Draws round numbers beside and below the curves, and a line at each height."""
    y_ticks = choose_ticks(low, high)
    x_ticks = choose_ticks(0.0, x_end)
    heights = [_map_height((tick - low) / (high - low)) for tick in y_ticks]
    lines = "".join(
        f'<line class=grid x1="{MARGIN}" y1="{y:.1f}" x2="{WIDTH - MARGIN}" y2="{y:.1f}"/>'
        f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
        for y, label in zip(heights, format_ticks(y_ticks), strict=True)
    )
    below = _map_height(0.0) + 16
    epochs = "".join(
        f'<text x="{_map_width(tick / x_end):.1f}" y="{below:.1f}" text-anchor="middle">{label}</text>'
        for tick, label in zip(x_ticks, format_ticks(x_ticks), strict=True)
    )
    return f'{lines}{epochs}<text x="{WIDTH / 2:g}" y="{below + 16:.1f}" text-anchor="middle">epoch</text>'


def _describe_cut(lines: Sequence[Line], low: float, high: float) -> str:
    """States the values that the edges of the chart cut, if there are any."""
    values = [value for line in lines for value in line.y]
    beyond = []
    if min(values) < low:
        beyond.append(f"down to {min(values):.4g}")
    if max(values) > high:
        beyond.append(f"up to {max(values):.4g}")
    text = f"The axis ends at {low:.4g} and {high:.4g}: values beyond, {' and '.join(beyond)}, are drawn at its edge."
    return f"<p class=small>{text}</p>" if beyond else ""


class Scale(NamedTuple):
    """The scale of a column of numbers."""

    low: float
    high: float

    def draw(self, value: float, span: Span) -> str:
        """Draws a dot on a line from end to end of its span, or a triangle where it lies beyond the scale."""
        reference = "" if span.reference is None else f'<path class=reference d="M{self._x(span.reference):.1f} 0V10"/>'
        if self.low <= value <= self.high:
            line = f'<path d="M{self._x(span.low):.1f} 5H{self._x(span.high):.1f}"/>'
            shape = f'{line}<circle cx="{self._x(value):.1f}" cy="5" r="2.5"/>'
        else:
            shape = f'<path d="M{"1 5L7" if value < self.low else "63 5L57"} 1V9z"/>'
        return f'<svg class=span viewBox="0 0 64 10">{reference}{shape}</svg>'

    def _x(self, value: float) -> float:
        return 3 + 58 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


def choose_scale(numbers: Sequence[tuple[float, Span]]) -> Scale | None:
    """Returns a scale that holds all spans and references except outliers; None where it would have no length."""
    middle = median(value for value, _ in numbers)
    usual = max(median(abs(value - middle) for value, _ in numbers), median(s.high - s.low for _, s in numbers))
    near = [span for value, span in numbers if abs(value - middle) <= OUTLIER_FACTOR * usual]
    ends = [end for span in near for end in span if end is not None]
    return Scale(min(ends), max(ends)) if 0 < max(ends) - min(ends) < math.inf else None


def _map_width(part: float) -> float:
    """Maps a share of the axis of epochs to the distance from the left of the picture."""
    return MARGIN + (WIDTH - 2 * MARGIN) * part


def _map_height(part: float) -> float:
    """Maps a share of the axis, 0 at its foot, to the distance from the top of the picture."""
    return MARGIN / 2 + (HEIGHT - 1.5 * MARGIN) * (1 - part)


def _style_stroke(i: int) -> str:
    dashes = ("", "6 3", "2 2", "8 2 2 2")[i // len(COLOURS) % 4]
    return f'stroke="{COLOURS[i % len(COLOURS)]}"' + (f' stroke-dasharray="{dashes}"' if dashes else "")


def _thin_out(x: list[float], y: list[float], max_points: int) -> tuple[list[float], list[float]]:
    step = -(-len(x) // max_points)
    return x[::step] + x[-1:], y[::step] + y[-1:]
