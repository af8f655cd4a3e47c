"""Numbers of all runs for the scatter plot of the page, which its script draws."""

import json
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

from dgm_run.report.groups import Group
from dgm_run.report.html_table import make_anchor
from dgm_run.report.rows import Row
from dgm_run.report.tables import EstimateSpec

COSTS = ("parameters", "epochs", "training seconds")


def render_scatter(groups: Sequence[Group], tables: Sequence[tuple[EstimateSpec, list[Row]]]) -> str:
    """Renders a scatter plot of any two quantities of the runs; empty with fewer than two runs."""
    points = collect_points(groups, tables)
    if len(points) < 2:
        return ""
    counts = Counter(name for point in points for name in point["values"])
    names = sorted(counts, key=lambda name: (name in COSTS, -counts[name]))  # else in the order of the tables
    x_options, y_options = (_render_options(names, chosen) for chosen in names[:2])
    data = escape(json.dumps({"points": points}))
    return (
        f"<p><label>across <select id=scatter-x>{x_options}</select></label> "
        f"<label>up <select id=scatter-y>{y_options}</select></label></p>"
        f'<div id=scatter data-points="{data}"></div>'
    )


def _render_options(names: Sequence[str], chosen: str) -> str:
    return "".join(f"<option{' selected' * (name == chosen)}>{escape(name)}</option>" for name in names)


def collect_points(groups: Sequence[Group], tables: Sequence[tuple[EstimateSpec, list[Row]]]) -> list[dict[str, Any]]:
    """Returns for each run its name, its configuration, and its finite numbers by quantity and method."""
    values = {
        run.path: dict(zip(COSTS, _list_costs(run.results), strict=True)) for group in groups for run in group.runs
    }
    names: set[str] = set()
    numbers: dict[Any, dict[str, float]] = {path: {} for path in values}
    for spec, rows in tables:
        if spec.run:
            continue
        name = f"{spec.quantity}, {spec.data_name}"
        if name in names:
            name = f"{name}: {spec.describe_method()}, {spec.preprocessing}"
        names.add(name)
        for row in rows:
            for run, estimate in row.finite_estimates:
                numbers[run.path][name] = estimate["value"]
    return [
        {
            "run": run.name,
            "anchor": make_anchor(run.name),
            "group": group.name,
            "values": numbers[run.path] | values[run.path],
        }
        for group in groups
        for run in group.runs
    ]


def _list_costs(results: Any) -> tuple[float, float, float]:
    training = results["training"]
    return results["parameters"], training["epochs"], training["seconds"]
