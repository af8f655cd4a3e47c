"""Figures of the comparison for a paper, as PDF or SVG: learning curves, differences and pictures."""

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from dgm_run.report.comparison import Comparison
from dgm_run.report.curves import Line, choose_range, collect_curves
from dgm_run.report.groups import name_groups
from dgm_run.report.pictures import COMPARED_PICTURES, collect_last_pictures
from dgm_run.report.rows import Difference, Row
from dgm_run.report.tables import EstimateSpec

WIDTH = 6.0
"""Width of a figure, in inches."""
PANEL = 2.0
"""Width and height of a picture, in inches."""
PANEL_COLUMNS = 3
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "pdf.fonttype": 42,  # fonts that an editor can read, as publishers ask for
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "dgm-run",  # equal comparisons give equal files
    "text.parse_math": False,  # a name may hold a dollar sign
    "axes.spines.top": False,
    "axes.spines.right": False,
}
METADATA: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
"""Metadata of a file, without the date."""


def draw_figures(comparison: Comparison, file_format: str) -> dict[str, bytes]:
    """Draws all figures.

    Args:
        comparison: the comparison.
        file_format: pdf or svg.

    Returns:
        Contents of the files by their names, without an ending.
    """
    with matplotlib.rc_context(STYLE):
        figures = {
            f"curves_{monitor}_{data}": draw_curves(monitor, lines)
            for (monitor, data), lines in collect_curves(comparison.groups).items()
        }
        for spec, rows in comparison.tables:
            if any(isinstance(row.difference, Difference) for row in rows):
                name = f"differences_{spec.quantity}_{spec.data_name}"
                same = sum(each.startswith(name) for each in figures)
                figures[f"{name}_{same + 1}" if same else name] = draw_differences(spec, rows)
        for name in COMPARED_PICTURES:
            if shown := collect_last_pictures(comparison.groups, name):
                figures[name] = draw_pictures([(short_name, file) for _, short_name, file in shown])
        return {re.sub(r"[^\w.-]+", "_", name): _save(figure, file_format) for name, figure in figures.items()}


def draw_curves(monitor: str, lines: Sequence[Line]) -> Figure:
    """Draws learning curves; curves of one configuration have one colour and one entry of the legend."""
    figure = Figure((WIDTH, 0.6 * WIDTH), layout="constrained")
    axes = figure.subplots()
    colours = {name: f"C{i % 10}" for i, name in enumerate(dict.fromkeys(line.name for line in lines))}
    styles = {name: ("-", "--", ":", "-.")[i // 10 % 4] for i, name in enumerate(colours)}
    named: set[str] = set()
    for line in lines:
        label = None if line.name in named else line.name
        axes.plot(line.x, line.y, styles[line.name], color=colours[line.name], linewidth=1.2, label=label)
        named.add(line.name)
    low, high = choose_range([line.y for line in lines])
    margin = 0.03 * (high - low)
    axes.set(xlabel="epoch", ylabel=monitor, xlim=(0, None), ylim=(low - margin, high + margin))
    if len(named) > 1:
        figure.legend(loc="outside lower center", frameon=False, ncols=1 if max(map(len, named)) > 30 else 2)
    return figure


def draw_differences(spec: EstimateSpec, rows: Sequence[Row]) -> Figure:
    """Draws the difference of each row to the best with its interval, the best on top."""
    best, *names = name_groups([row.group for row in rows])
    shown = [
        (name, row.difference)
        for name, row in zip(names, rows[1:], strict=True)
        if isinstance(row.difference, Difference)
    ]
    figure = Figure((WIDTH, 1.0 + 0.25 * (len(shown) + 1)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.plot(0, 0, "o", color="C3", markersize=4)
    for i, (_, difference) in enumerate(shown, 1):
        is_equal = difference.low <= 0 <= difference.high
        colour = "C3" if is_equal else "C0"  # as the page marks numbers that do not differ from the best
        if math.isfinite(difference.high - difference.low):
            axes.plot((difference.low, difference.high), (i, i), color=colour, linewidth=1.2)
        axes.plot(difference.mean, i, "o", color=colour, markersize=4)
    axes.set_yticks(range(len(shown) + 1), [best, *(name for name, _ in shown)])
    axes.set_ylim(len(shown) + 0.5, -0.5)
    unit = f", {spec.unit}" if spec.unit else ""
    head = f"difference of {spec.quantity} to the best {rows[0].compared}{unit} (95% for all pairs)"
    figure.supxlabel(head, fontsize="medium")  # names may leave too little width below the axes
    return figure


def draw_pictures(shown: Sequence[tuple[str, Path]]) -> Figure:
    """Draws pictures beside one another, each below its name, with their own pixels."""
    columns = min(PANEL_COLUMNS, len(shown))
    num_rows = -(-len(shown) // columns)
    figure = Figure((columns * PANEL, num_rows * (PANEL + 0.3)), layout="constrained")
    panels = figure.subplots(num_rows, columns, squeeze=False).flatten()
    for axes in panels:
        axes.set_axis_off()
    for axes, (name, file) in zip(panels, shown, strict=False):
        _draw_picture(axes, name, file)
    return figure


def _draw_picture(axes: Axes, name: str, file: Path) -> None:
    try:
        with Image.open(file) as picture:
            axes.imshow(np.asarray(picture.convert("RGB")), interpolation="none")
    except OSError as error:
        axes.text(0, 0.5, f"{file.name}: {error.strerror or 'no picture'}", wrap=True)
    axes.set_title(name.replace(", ", ",\n"), fontsize=7)


def _save(figure: Figure, file_format: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=file_format, metadata=METADATA[file_format])
    return buffer.getvalue()
