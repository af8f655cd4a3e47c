"""Plots of curves, histograms and points, as pictures."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES = (6.4, 4.0)
"""Width and height of a plot."""
DOTS = 120
"""Dots per inch."""

MAX_SPAN_RATIO = 10.0
"""Ratio of the spans of two axes below which they share one scale."""


def plot_histograms(values: Mapping[str, Tensor], label: str, num_bins: int = 60) -> np.ndarray:
    """Plots histograms of several sets over the same bins, between the 1% and 99% quantiles: (H, W, 3) bytes.

    Args:
        values: finite values of each set, (N,), by its name in the legend; the first is filled.
        label: label of the axis.
        num_bins: number of bins.
    """
    arrays = {name: each[each.isfinite()].double().cpu().numpy() for name, each in values.items()}
    arrays = {name: each for name, each in arrays.items() if len(each)} or {"nothing finite": np.zeros(1)}
    ends = [np.quantile(each, share) for each in arrays.values() for share in (0.01, 0.99)]
    bins = np.linspace(min(ends), max(ends) + 1e-9, num_bins + 1)

    def draw(axes: "Axes") -> None:
        for i, (name, each) in enumerate(arrays.items()):
            shares = np.histogram(each.clip(bins[0], bins[-1]), bins)[0] / len(each)
            axes.stairs(shares, bins, label=name, fill=i == 0, alpha=0.4 if i == 0 else 1.0, linewidth=1.5)
        axes.set_ylabel("share of the examples")

    return _plot(draw, label)


def plot_curves(lines: Mapping[str, tuple[Tensor, Tensor]], x_label: str, y_label: str) -> np.ndarray:
    """Plots lines through points (x, y), (N,) each, by their names in the legend: (H, W, 3) bytes."""

    def draw(axes: "Axes") -> None:
        for name, (x, y) in lines.items():
            axes.plot(x.cpu().numpy(), y.cpu().numpy(), label=name, linewidth=1.5)
        axes.set_ylabel(y_label)
        axes.set_ylim(bottom=0)

    return _plot(draw, x_label)


def plot_points(points: Mapping[str, Tensor]) -> np.ndarray:
    """Plots sets of points of the plane, (N, 2) each, by their names in the legend: (H, W, 3) bytes.

    The first set determines the range of the axes; points outside it are not shown.
    """

    def draw(axes: "Axes") -> None:
        arrays = {name: each.detach().double().cpu().numpy() for name, each in points.items()}
        for name, each in arrays.items():
            x, y = each.T
            axes.scatter(x, y, s=4, alpha=0.5, linewidths=0, label=name)
        first = next(iter(arrays.values()))
        margin = 0.1 * (first.max(0) - first.min(0)) + 1e-6 * (1 + np.abs(first).max(0))
        (left, bottom), (right, top) = first.min(0) - margin, first.max(0) + margin
        is_even = 1 / MAX_SPAN_RATIO < (right - left) / (top - bottom) < MAX_SPAN_RATIO
        axes.set(xlim=(left, right), ylim=(bottom, top), ylabel="$x_2$", aspect="equal" if is_even else "auto")

    return _plot(draw, "$x_1$", loc="upper left", bbox_to_anchor=(1, 1), markerscale=4)  # beside the points


def _plot(draw: Callable[["Axes"], None], x_label: str, **legend: Any) -> np.ndarray:
    """Renders the axes that `draw` fills, with a legend: (H, W, 3) bytes.

    Args:
        draw: draws into the axes.
        x_label: label of the horizontal axis.
        legend: settings of matplotlib's legend.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # its import takes half a second
    from matplotlib.figure import Figure

    figure = Figure(INCHES, DOTS, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw(axes)
    axes.set_xlabel(x_label)
    axes.legend(frameon=False, **legend)
    axes.spines[["top", "right"]].set_visible(False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
