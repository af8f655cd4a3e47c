"""How a run shows itself: a bar in a terminal, plain lines elsewhere, and a table at the end."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from dgm_run.commands import show_runs

SECONDS_WITHIN_EPOCH = 30.0
"""Between two lines about a long epoch, where there is no bar."""

WIDTH = 120
"""Columns of a table in a file."""

SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_REDRAWS = 0.1


class Terminal:
    """Writes to standard output. In a terminal one bar is redrawn; elsewhere a line comes every few seconds."""

    def __init__(self, console: Console | None = None):
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH
        self.console = console or Console(file=sys.stdout, highlight=False, soft_wrap=True, width=width)
        self._bar: Progress | None = None
        self._last_line = self._last_draw = 0.0

    def say(self, text: str) -> None:
        """One line that stays."""
        self.console.print(text, markup=False)

    def start(self, epochs: int, steps_per_epoch: int, step: int) -> None:
        """Training begins, or goes on, at `step` of at most epochs * steps_per_epoch."""
        self.finish()  # of the layer before, where there is one
        self._steps_per_epoch, self._total = steps_per_epoch, epochs * steps_per_epoch
        self._first_step, self._begun, self._text = step, time.monotonic(), ""
        self._open_bar("epoch", epochs, step // steps_per_epoch)

    def step(self, step: int) -> None:
        now = time.monotonic()
        if self._bar and now - self._last_draw > SECONDS_BETWEEN_REDRAWS:
            self._last_draw = now
            self._draw(step)
        elif not self._bar and now - max(self._last_line, self._begun) > SECONDS_WITHIN_EPOCH:
            self._last_line = now
            of = f"epoch {step / self._steps_per_epoch:.1f}/{self._total // self._steps_per_epoch}"
            self.say(f"{of}  {self._text}  {self._pace(step)}")

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """An epoch ended with these logged values."""
        losses = [f"loss {readable(values['train/loss'])}"]
        losses += [f"{name} {readable(v)}" for name, v in values.items() if name.startswith("valid/")][:1]
        self._text = "  ".join(losses)
        step = epoch * self._steps_per_epoch
        if self._bar:
            self._draw(step)
            return
        now = time.monotonic()
        if now - self._last_line > SECONDS_BETWEEN_LINES or step >= self._total:
            self._last_line = now
            of = f"epoch {epoch}/{self._total // self._steps_per_epoch}"
            self.say(f"{of}  {self._text}  {self._pace(step)}")

    def finish(self) -> None:
        """Takes the bar away; what it showed last stays."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def evaluating(self, name: str) -> None:
        """An estimator begins."""
        self.finish()
        self._begun, self._evaluating = time.monotonic(), name
        self._open_bar(name, 100, 0)

    def evaluated(self, done: int, total: int) -> None:
        now = time.monotonic()
        left = duration((now - self._begun) / done * (total - done))
        if self._bar:
            self._bar.update(self._task, completed=100 * done // total, text=f"{left} left")
        elif now - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = now
            self.say(f"{self._evaluating} {100 * done // total}%  {left} left")

    def estimates(self, rows: Sequence[Mapping[str, Any]], title: str, notes: Sequence[str]) -> None:
        """The table of what was found out, and lines below it."""
        self.finish()
        table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        with_floors = any(row["floor"] is not None for row in rows)
        for heading in (
            "quantity",
            "value",
            "± s.e.",
            *(["floor"] if with_floors else []),
            "unit",
            "kind",
            "estimator",
        ):
            justify = "right" if heading in ("value", "± s.e.", "floor") else "left"
            table.add_column(heading, justify=justify, no_wrap=heading != "estimator", overflow="fold")
        settings: dict[str, dict[str, str]] = {}
        for row in rows:
            stderr = "" if row["stderr"] is None else f"{row['stderr']:.3f}"
            digits = 0 if row["quantity"] == "active_units" else 3
            floor = "" if row["floor"] is None else f"{row['floor']:.3f}"
            table.add_row(
                f"{row['split']}/{row['quantity']}", f"{row['value']:.{digits}f}", stderr,
                *([floor] if with_floors else []), row["unit"], row["kind"].replace("_", " "), row["estimator"],
            )  # fmt: skip
            if row["settings"]:
                settings.setdefault(row["estimator"], {}).update({k: _short(v) for k, v in row["settings"].items()})
        self.console.print(table, soft_wrap=True)
        told = {name: ", ".join(f"{k}={v}" for k, v in values.items()) for name, values in settings.items()}
        for note in [*(f"{name}: {text}" for name, text in told.items()), *notes]:
            self.say(note)

    def _open_bar(self, unit: str, total: int, done: int) -> None:
        if not self.console.is_terminal:
            return
        self._bar = Progress(
            TextColumn(unit), MofNCompleteColumn(), BarColumn(bar_width=12), TextColumn("{task.fields[text]}"),
            console=self.console, auto_refresh=False,
        )  # fmt: skip
        self._bar.start()
        self._task = self._bar.add_task(unit, total=total, completed=done, text="")
        self._bar.refresh()

    def _draw(self, step: int) -> None:
        text = f"{self._text}  {self._pace(step)}"
        self._bar.update(self._task, completed=step // self._steps_per_epoch, text=text)
        self._bar.refresh()

    def _pace(self, step: int) -> str:
        done = step - self._first_step
        if not done:
            return ""
        seconds = (time.monotonic() - self._begun) / done
        return f"{1 / seconds:.0f} steps/s  at most {duration(seconds * (self._total - step))} left"


def readable(value: float) -> str:
    """Two decimals, as nats want them, or two digits of what would be lost by that."""
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """0:07, 12:34 or 1:02:03."""
    minutes, s = divmod(round(max(0.0, seconds)), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


def conclusion(found: Mapping[str, Any], folder: Path) -> list[str]:
    """What stands below the table of a finished run: `found` is its results.json."""
    training = found["training"]
    likelihoods = [row for row in found["estimates"] if row["quantity"] == "log_likelihood"]
    lines = [f"{row['num_examples']} test examples, binarisation {found['binarization']}" for row in likelihoods[:1]]
    lines.append(
        f"{training['epochs']} epochs in {duration(training['seconds'])} (stopped by {training['stopped_by']}), "
        f"{training['examples_per_second']:,.0f} examples/s; best {training['monitor']} {readable(training['best'])} "
        f"after epoch {training['best_epoch']}"
    )
    if found["published"]:
        numbers = ", ".join(f"{quantity} {value}" for quantity, value in found["published"]["values"].items())
        lines.append(f"published: {numbers} ({found['published']['source']})")
    lines += _diagnostics(found["estimates"])
    lines += [f"{row['quantity']}: {row['warning']}" for row in found["estimates"] if row["warning"]]
    lines.append(f"outputs in {folder}")
    lines.append(f"look at them with: {show_runs(folder.parent)}")
    return lines


def _diagnostics(estimates: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each estimator saw of itself: a line for every number at which it was another."""
    seen: dict[str, dict[str, str]] = {}
    for row in estimates:
        found = [f"{name} {'unknown' if v is None else f'{v:.5g}'}" for name, v in row["diagnostics"].items()]
        if found:
            seen.setdefault(row["estimator"], {}).setdefault(", ".join(found), row["quantity"])
    return [
        f"{estimator}: {told}" if len(of_numbers) == 1 else f"{estimator}, {quantity}: {told}"
        for estimator, of_numbers in seen.items()
        for told, quantity in of_numbers.items()
    ]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
