"""Searches in a report: the best trials, and a picture of all of them."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from dgm_run.recording.search_record import SEARCH_FILE, SearchRecord, SearchTrial, read_search
from dgm_run.report.cells import Cell, make_cell
from dgm_run.report.charts import HEIGHT, MARGIN, WIDTH


class NamedSearch(NamedTuple):
    """A search with the path of its folder, relative to the folder of the report."""

    name: str
    record: SearchRecord

    @property
    def title(self) -> str:
        """Heading of the search."""
        words = "best trial" if len(self.record.objectives) == 1 else "Pareto front"
        return f"Search {self.name}: {words}" if self.name != "." else f"Search: {words}"

    def describe(self) -> str:
        """States the objectives, and the number of trials in each state."""
        objectives = " and ".join(f"{direction} {name}" for name, direction in self.record.objectives.items())
        states = [trial.state for trial in self.record.trials]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
        return f"The search is to {objectives}. Trials: {counts}."

    def make_columns(self) -> dict[str, list[Cell]]:
        """Returns the columns of a table of the best trials."""
        best = list_best(self.record)
        columns: dict[str, list[Cell]] = {"trial": [make_cell(trial.number) for trial in best]}
        for i, name in enumerate(self.record.objectives):
            numbers = [trial.values[i] for trial in best if trial.values]
            columns[name] = [Cell(f"{number:.6g}", number) for number in numbers]
        for key in dict.fromkeys(key for trial in best for key in trial.params):
            columns[key] = [make_cell(_shorten(trial.params.get(key, ""))) for trial in best]
        return columns


def collect_searches(folder: Path) -> list[NamedSearch]:
    """Reads the searches in a folder and below it, in the order of their paths."""
    paths = sorted(path.parent for path in folder.rglob(SEARCH_FILE))
    records = [(str(path.relative_to(folder)), read_search(path)) for path in paths]
    return [NamedSearch(name, record) for name, record in records if record and record.complete]


def list_best(record: SearchRecord) -> list[SearchTrial]:
    """Returns the best trial or the Pareto front, by the value of the first objective."""
    best = [trial for trial in record.complete if trial.number in record.best]
    return sorted(best, key=lambda trial: list(trial.values or ()))


def draw_search(record: SearchRecord) -> str:
    """Draws the trials: the first objective over each other one, or over the number of the trial if it is the only one.

    Filled dots are the best trial or the Pareto front.
    """
    names = list(record.objectives)
    y = [trial.values[0] for trial in record.complete if trial.values]
    if len(names) == 1:
        return _draw_dots(record, [trial.number for trial in record.complete], y, "trial", names[0])
    return "".join(
        _draw_dots(record, [trial.values[i] for trial in record.complete if trial.values], y, names[i], names[0])
        for i in range(1, len(names))
    )


def _draw_dots(record: SearchRecord, x: Sequence[float], y: Sequence[float], x_name: str, y_name: str) -> str:
    across = _Axis(min(x), max(x), MARGIN, WIDTH - MARGIN)
    up = _Axis(min(y), max(y), HEIGHT - MARGIN, MARGIN / 2)
    dots = []
    for trial, x_value, y_value in zip(record.complete, x, y, strict=True):
        settings = ", ".join(f"{key}={_shorten(value)}" for key, value in trial.params.items())
        about = f"trial {trial.number}: {y_name}={y_value:.6g}, {x_name}={x_value:.6g}; {settings}"
        fill = "#1f77b4" if trial.number in record.best else "none"
        dots.append(
            f'<circle cx="{across.place(x_value):.1f}" cy="{up.place(y_value):.1f}" r="4" fill="{fill}" '
            f'stroke="#1f77b4"><title>{escape(about)}</title></circle>'
        )
    labels = [*_label_across(across, x_name), *_label_up(up, y_name)]
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">{"".join(labels)}{"".join(dots)}</svg>'


class _Axis(NamedTuple):
    """An axis of a picture: its values, and the places of their ends."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Returns the place of a value."""
        length = self.high - self.low
        share = (value - self.low) / length if length else 0.5
        return self.start + share * (self.end - self.start)


def _label_across(axis: _Axis, name: str) -> Iterator[str]:
    for value in sorted({axis.low, axis.high}):
        yield f'<text x="{axis.place(value):.1f}" y="{HEIGHT - MARGIN / 2}" text-anchor="middle">{value:.4g}</text>'
    yield f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(name)}</text>'


def _label_up(axis: _Axis, name: str) -> Iterator[str]:
    for value in sorted({axis.low, axis.high}):
        y = axis.place(value)
        yield f'<line x1="{MARGIN}" y1="{y:.1f}" x2="{WIDTH - MARGIN}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>'
    yield f'<text x="{MARGIN}" y="10">{escape(name)}</text>'


def _shorten(value: object) -> str:
    """Returns a value of a key as text, a float with six digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
