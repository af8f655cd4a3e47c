"""How a run shows itself: a bar in a terminal, plain lines elsewhere, a table at the end, and all of it in run.log."""

import io
import logging
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table

from dgm_run.config.commands import run_estimators, show_runs
from dgm_run.config.published import KINDS
from dgm_run.errors import UserError
from dgm_run.recording import output
from dgm_run.recording.log import TextLog

SECONDS_WITHIN_EPOCH = 30.0
"""Between two lines about a long epoch, where there is no bar."""

WIDTH = 120
"""Columns of a table in a file."""

SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_REDRAWS = 0.1

RUN_LOG = "run.log"
"""The file of a run folder with everything that its user was told."""

BAR_WIDTH = 12


class Part(NamedTuple):
    """A part of the bar's line; where the line is too long, the part with the highest rank goes first."""

    rank: int
    text: str


class Bar:
    """One line of a terminal that is drawn again and again.

    The cursor waits at the beginning of the line. A terminal that has become narrower may have wrapped the line; what
    is below the cursor is then the rest of it, and the next drawing clears it.

    Args:
        console: of a terminal.
    """

    def __init__(self, console: Console):
        self.console = console
        self.parts: list[Part] = []
        self._stream = output.guard(console.file)
        self._is_shown = False
        output.Output.before_write = self.clear

    def draw(self, parts: Sequence[Part]) -> None:
        """Draws the parts that the terminal has room for."""
        self.parts = [part for part in parts if part.text]
        self._stream.draw(f"\r{fit(self.parts, self._columns() - 1)}\x1b[J\r")
        self._stream.flush()
        self._is_shown = True

    def clear(self) -> None:
        """Takes the line away, until it is drawn again."""
        if self._is_shown:
            self._is_shown = False
            self._stream.draw("\r\x1b[J")

    def finish(self) -> None:
        """Leaves the line as it was drawn last."""
        output.Output.before_write = None
        if self.parts:
            self._stream.draw(f"\r{fit(self.parts, self._columns() - 1)}\x1b[J\n")
            self._stream.flush()

    def _columns(self) -> int:
        """The width of the terminal as it is now."""
        try:
            columns = os.get_terminal_size(self.console.file.fileno()).columns
        except (OSError, ValueError, AttributeError):
            columns = 0
        return columns or self.console.width


def fit(parts: Sequence[Part], width: int) -> str:
    """Returns the parts in one line of at most `width` cells: those of the lowest ranks, the last one cut."""
    parts = list(parts)
    while len(parts) > 1 and cell_len("  ".join(part.text for part in parts)) > width:
        parts.remove(max(parts, key=lambda part: part.rank))
    line = "  ".join(part.text for part in parts)
    return line if cell_len(line) <= width else set_cell_size(line, max(width, 0))


class Terminal:
    """Writes to standard output and, once it is opened, to run.log.

    In a terminal one bar is redrawn; elsewhere a line comes every few seconds. Output that cannot be written any more
    is said in run.log.
    """

    def __init__(self, console: Console | None = None):
        width = None if (sys.stdout and sys.stdout.isatty()) or "COLUMNS" in os.environ else WIDTH
        stream = None if console else cast(IO[str], output.guard(sys.stdout))  # it hands on what it lacks itself
        self.console = console or Console(
            file=stream, highlight=False, soft_wrap=True, width=width, markup=False, emoji=False
        )
        self._bar: Bar | None = None
        self._last_line = self._last_draw = 0.0
        self._log: TextLog | None = None
        self._unlogged: list[str] = []
        self._lost: set[str] = set()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Logs warnings, messages and other threads of libraries while the block runs, and why it fails."""
        heard = _Heard(self)
        logging.getLogger().addHandler(heard)
        show_warning = warnings.showwarning

        def keep_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            show_warning(message, category, *place, **more)
            self.keep(f"{category.__name__}: {message}")

        def keep_failure(failure: Any) -> None:  # of TensorBoard's writer, which raises in this thread as well
            self.keep("".join(traceback.format_exception(failure.exc_type, failure.exc_value, failure.exc_traceback)))

        warnings.showwarning = keep_warning
        show_failure, threading.excepthook = threading.excepthook, keep_failure
        try:
            yield
        except (KeyboardInterrupt, UserError) as error:
            self.finish()
            self.keep(str(error) or "interrupted")
            raise
        except Exception:
            self.finish()
            self.keep(traceback.format_exc())
            raise
        finally:
            self.finish()
            self._note_losses()
            warnings.showwarning = show_warning
            threading.excepthook = show_failure
            logging.getLogger().removeHandler(heard)

    def open_log(self, folder: Path, session: str | None) -> None:
        """Writes to the run.log of a folder from here on, what was said before first.

        Args:
            folder: of the run.
            session: what begins, which is written with the date; None where one goes on.
        """
        self._log = TextLog(folder / RUN_LOG, self.say)
        if session:
            self._log.write(f"=== {datetime.now():%Y-%m-%d %H:%M:%S}: {session}")
        unlogged, self._unlogged = self._unlogged, []
        for text in unlogged:
            self._log.write(text)
        self._note_losses()

    def keep(self, text: str) -> None:
        """Lines for run.log alone."""
        if self._log:
            self._log.write(text)
        else:
            self._unlogged.append(text)

    def say(self, text: str) -> None:
        """One line that stays."""
        self.console.print(text, markup=False)
        self.keep(text)
        self._note_losses()

    def start(self, epochs: int, steps_per_epoch: int, step: int) -> None:
        """Training begins, or goes on, at `step` of at most epochs * steps_per_epoch."""
        self.finish()  # of the layer before, where there is one
        self._steps_per_epoch, self._total = steps_per_epoch, epochs * steps_per_epoch
        self._first_step, self._begun = step, time.monotonic()
        self._losses: list[str] = []
        self._open_bar()
        self._draw(step)

    def step(self, step: int) -> None:
        now = time.monotonic()
        if self._bar and now - self._last_draw > SECONDS_BETWEEN_REDRAWS:
            self._last_draw = now
            self._draw(step)
        if now - max(self._last_line, self._begun) > SECONDS_WITHIN_EPOCH:
            self._last_line = now
            self._report(f"{step / self._steps_per_epoch:.1f}", step)

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """An epoch ended with these logged values."""
        self._losses = [f"loss {readable(values['train/loss'])}"]
        self._losses += [f"{name} {readable(v)}" for name, v in values.items() if name.startswith("valid/")][:1]
        step, now = epoch * self._steps_per_epoch, time.monotonic()
        self._draw(step)
        is_due = now - self._last_line > SECONDS_BETWEEN_LINES or step >= self._total
        if is_due:
            self._last_line = now
        self._report(str(epoch), step, is_due)

    def finish(self) -> None:
        """Takes the bar away; what it showed last stays."""
        if self._bar:
            self._bar.finish()
            self._bar = None

    def evaluating(self, name: str) -> None:
        """An estimator begins."""
        self.finish()
        self._begun, self._evaluating = time.monotonic(), name
        self._open_bar()
        if self._bar:
            self._bar.draw([Part(0, name)])

    def evaluated(self, done: int, total: int) -> None:
        now, percent = time.monotonic(), 100 * done // total
        left = f"{duration((now - self._begun) / done * (total - done))} left" if done else ""
        if self._bar and (done == total or now - self._last_draw > SECONDS_BETWEEN_REDRAWS):
            self._last_draw = now
            self._bar.draw([Part(0, self._evaluating), Part(1, f"{percent}%"), self._graph(done, total), Part(2, left)])
        if now - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._line(f"{self._evaluating} {percent}%  {left}")

    def estimates(self, rows: Sequence[Mapping[str, Any]], title: str, notes: Sequence[str]) -> None:
        """The table of what was found out, and lines below it."""
        self.finish()
        table = self._table(rows, title)
        self.console.print(table, soft_wrap=True)
        self.keep(_plain(table))
        settings: dict[str, dict[str, str]] = {}
        for row in rows:
            if row["settings"]:
                settings.setdefault(row["estimator"], {}).update({k: _short(v) for k, v in row["settings"].items()})
        told = {name: ", ".join(f"{k}={v}" for k, v in values.items()) for name, values in settings.items()}
        for note in [*(f"{name}: {text}" for name, text in told.items()), *notes]:
            self.say(note)

    def _table(self, rows: Sequence[Mapping[str, Any]], title: str) -> Table:
        table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        columns = {
            "quantity": [f"{row['split']}/{row['quantity']}" for row in rows],
            "value": [_decimals(row["value"], 0 if row["quantity"] == "active_units" else 3) for row in rows],
            "± s.e.": [_decimals(row["stderr"]) for row in rows],
            "95% interval": [" to ".join(map(_decimals, row["interval"] or ())) for row in rows],
            "train_reference": [_decimals(row["train_reference"]) for row in rows],
            "unit": [row["unit"] for row in rows],
            "kind": [row["kind"].replace("_", " ") for row in rows],
            "estimator": [row["estimator"] for row in rows],
        }
        shown = {heading: cells for heading, cells in columns.items() if heading != "train_reference" or any(cells)}
        for name in shown:
            numeric = name in ("value", "± s.e.", "95% interval", "train_reference")
            table.add_column(name, justify="right" if numeric else "left", no_wrap=name != "estimator", overflow="fold")
        for cells in zip(*shown.values(), strict=True):
            table.add_row(*cells)
        return table

    def _open_bar(self) -> None:
        if self.console.file.isatty() and not self.console.is_dumb_terminal:
            self._bar = Bar(self.console)

    def _draw(self, step: int) -> None:
        if not self._bar:
            return
        speed, left = self._pace(step)
        epoch, epochs = step // self._steps_per_epoch, self._total // self._steps_per_epoch
        losses = [Part(rank, text) for rank, text in enumerate(self._losses, 2)]
        self._bar.draw(
            [Part(0, f"epoch {epoch}/{epochs}"), self._graph(epoch, epochs), *losses, Part(4, speed), Part(1, left)]
        )

    def _graph(self, done: int, total: int) -> Part:
        full = BAR_WIDTH * done // max(total, 1)
        return Part(5, "━" * full + "·" * (BAR_WIDTH - full))

    def _report(self, epoch: str, step: int, is_due: bool = True) -> None:
        """A line about an epoch: always in run.log, and where it is due and there is no bar on standard output."""
        parts = [f"epoch {epoch}/{self._total // self._steps_per_epoch}", *self._losses, *self._pace(step)]
        self._line("  ".join(filter(None, parts)), is_due)

    def _line(self, text: str, is_due: bool = True) -> None:
        if is_due and not self._bar:
            self.say(text)
        else:
            self.keep(text)

    def _pace(self, step: int) -> tuple[str, str]:
        """The speed and the time that is left at it."""
        done = step - self._first_step
        if not done:
            return "", ""
        seconds = max(time.monotonic() - self._begun, 1e-9) / done
        return f"{1 / seconds:.0f} steps/s", f"at most {duration(seconds * (self._total - step))} left"

    def _note_losses(self) -> None:
        """Says in run.log what of the output is lost, once."""
        found = output.losses()
        if isinstance(self.console.file, output.Output) and self.console.file.lost:
            found.setdefault("standard output", self.console.file.lost)
        for name, error in found.items():
            if self._log and name not in self._lost:
                self._lost.add(name)
                self._log.write(f"{name} is lost ({output.reason(error)}): what is said stands here alone")


class _Heard(logging.Handler):
    """Keeps the messages of libraries in run.log."""

    def __init__(self, display: Terminal):
        super().__init__()
        self.display = display

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.display.keep(self.format(record))
        except Exception:  # a message whose arguments do not fit it
            self.handleError(record)


def _plain(table: Table) -> str:
    """Returns a table as lines without escape codes."""
    file = io.StringIO()
    Console(file=file, width=WIDTH, color_system=None, force_terminal=False, markup=False, emoji=False).print(table)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def _decimals(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


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
    lines = [f"{row['num_examples']} test examples, binarisation {found['preprocessing']}" for row in likelihoods[:1]]
    lines.append(
        f"{training['epochs']} epochs in {duration(training['seconds'])} (stopped by {training['stopped_by']}), "
        f"{training['examples_per_second']:,.0f} examples/s; best {training['monitor']} {readable(training['best'])} "
        f"after epoch {training['best_epoch']}"
    )
    if found["published"]:
        numbers = ", ".join(f"{quantity} {value}" for quantity, value in found["published"]["values"].items())
        lines.append(f"published: {numbers} ({KINDS[found['published']['kind']]}: {found['published']['source']})")
    lines += failures(found["failed_estimators"], folder)
    lines += describe_doubts(found["estimates"])
    lines.append(f"outputs in {folder}")
    lines.append(f"look at them with: {show_runs(folder.parent)}")
    return lines


def failures(failed: Mapping[str, str], folder: Path) -> list[str]:
    """Says which estimators failed and how to run them again."""
    if not failed:
        return []
    lines = [f"estimators.{name} failed: {reason}" for name, reason in failed.items()]
    return [*lines, f"to run them again: {run_estimators(folder, list(failed))}"]


def describe_doubts(estimates: Sequence[Mapping[str, Any]]) -> list[str]:
    """Writes what each estimator saw of itself, a line for every number at which it was another, then all warnings."""
    seen: dict[str, dict[str, str]] = {}
    for row in estimates:
        found = [f"{name} {'unknown' if v is None else f'{v:.5g}'}" for name, v in row["diagnostics"].items()]
        if found:
            seen.setdefault(row["estimator"], {}).setdefault(", ".join(found), row["quantity"])
    lines = [
        f"{estimator}: {told}" if len(of_numbers) == 1 else f"{estimator}, {quantity}: {told}"
        for estimator, of_numbers in seen.items()
        for told, quantity in of_numbers.items()
    ]
    return lines + [f"{row['quantity']}: {row['warning']}" for row in estimates if row["warning"]]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
