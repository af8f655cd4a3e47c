"""Pictures of numbers, as SVG: curves over epochs, and numbers with their errors on the scale of their column."""

import math
from collections.abc import Sequence
from html import escape
from statistics import median
from typing import NamedTuple

from dgm_run.report.cells import Span

COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
WIDTH = 640
HEIGHT = 300
MARGIN = 48
POINTS = 300
"""Of a curve, at most."""
FAR = 10
"""A number so many times further from the middle of its column than is usual there is drawn at its edge."""


class Line(NamedTuple):
    """A curve, of what bears this name."""

    name: str
    x: list[float]
    y: list[float]


def chart(lines: Sequence[Line]) -> str:
    """Curves with a legend; those of one name look the same. A line below says by how far they pass the axis."""
    lines = [Line(line.name, *_thinned(line.x, line.y)) for line in lines]
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
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">{ticks}{end}{paths}</svg>{_beyond(lines, low, high)}'
        f'<ul class="legend">{legend}</ul>'
    )


def _beyond(lines: Sequence[Line], low: float, high: float) -> str:
    """Says what is cut at the edges, if anything is."""
    values = [value for line in lines for value in line.y]
    beyond = [*([f"down to {min(values):.4g}"] if min(values) < low else []),
              *([f"up to {max(values):.4g}"] if max(values) > high else [])]  # fmt: skip
    told = f"The axis ends at {low:.4g} and {high:.4g}: values beyond, {' and '.join(beyond)}, are drawn at its edge."
    return f"<p class=small>{told}</p>" if beyond else ""


class Scale(NamedTuple):
    """Of a column of numbers."""

    low: float
    high: float

    def drawn(self, value: float, span: Span) -> str:
        """A dot on a line from end to end of its span; a triangle where it lies beyond the scale."""
        against = "" if span.against is None else f'<path class=against d="M{self._x(span.against):.1f} 0V10"/>'
        if self.low <= value <= self.high:
            line = f'<path d="M{self._x(span.low):.1f} 5H{self._x(span.high):.1f}"/>'
            shape = f'{line}<circle cx="{self._x(value):.1f}" cy="5" r="2.5"/>'
        else:
            shape = f'<path d="M{"1 5L7" if value < self.low else "63 5L57"} 1V9z"/>'
        return f'<svg class=span viewBox="0 0 64 10">{against}{shape}</svg>'

    def _x(self, value: float) -> float:
        return 3 + 58 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


def scale(numbers: Sequence[tuple[float, Span]]) -> Scale | None:
    """One that holds all spans, but for some far from the others, and what they are held against; None: it has no
    length."""
    middle = median(value for value, _ in numbers)
    usual = max(median(abs(value - middle) for value, _ in numbers), median(s.high - s.low for _, s in numbers))
    near = [span for value, span in numbers if abs(value - middle) <= FAR * usual]
    ends = [end for span in near for end in span if end is not None]
    return Scale(min(ends), max(ends)) if 0 < max(ends) - min(ends) < math.inf else None


def _range(curves: Sequence[Sequence[float]]) -> tuple[float, float]:
    """From what most curves have left behind early to the best; one that has gone astray does not press them flat."""
    lows = sorted(sorted(y)[len(y) // 20] for y in curves)
    highs = sorted(max(y) for y in curves)
    middle = lows[len(lows) // 2]
    high = highs[-1]
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
