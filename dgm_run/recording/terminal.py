"""Display of a run: a bar in a terminal, plain lines elsewhere, a table at the end, and everything in run.log."""

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
from typing import IO, Any, cast

from rich.console import Console
from rich.table import Table

from dgm_run.config.commands import run_estimators, show_runs
from dgm_run.config.published import KINDS
from dgm_run.errors import UserError
from dgm_run.recording import output
from dgm_run.recording.bar import Bar, Part
from dgm_run.recording.log import TextLog

SECONDS_WITHIN_EPOCH = 30.0
"""Seconds between two lines about a long epoch, without a bar."""

FILE_WIDTH = 120
"""Columns of a table in a file."""

SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_REDRAWS = 0.1

RUN_LOG = "run.log"
"""File in a run folder with all messages to the user."""

BAR_WIDTH = 12


class Terminal:
    """Display of a run on standard output and, once it is opened, in run.log.

    A terminal shows one bar that is redrawn; other outputs get a line every few seconds. run.log reports an output that
    can no longer be written.
    """

    def __init__(self, console: Console | None = None):
        width = None if (sys.stdout and sys.stdout.isatty()) or "COLUMNS" in os.environ else FILE_WIDTH
        stream = None if console else cast(IO[str], output.guard(sys.stdout))  # Output has all attributes of its target
        self.console = console or Console(
            file=stream, highlight=False, soft_wrap=True, width=width, markup=False, emoji=False
        )
        self._bar: Bar | None = None
        self._last_line = 0.0
        self._last_draw = 0.0
        self._log: TextLog | None = None
        self._unlogged: list[str] = []
        self._reported_streams: set[str] = set()

    @contextmanager
    def capture_messages(self) -> Iterator[None]:
        """Logs warnings and messages of libraries, errors of other threads, and the error that ends the block."""
        handler = _LogHandler(self)
        logging.getLogger().addHandler(handler)
        show_warning = warnings.showwarning

        def log_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            show_warning(message, category, *place, **more)
            self.log(f"{category.__name__}: {message}")

        def log_failure(failure: Any) -> None:  # TensorBoard's writer raises in this thread as well
            self.log("".join(traceback.format_exception(failure.exc_type, failure.exc_value, failure.exc_traceback)))

        warnings.showwarning = log_warning
        show_failure = threading.excepthook
        threading.excepthook = log_failure
        try:
            yield
        except (KeyboardInterrupt, UserError) as error:
            self.finish()
            self.log(str(error) or "interrupted")
            raise
        except Exception:
            self.finish()
            self.log(traceback.format_exc())
            raise
        finally:
            self.finish()
            self._log_lost_streams()
            warnings.showwarning = show_warning
            threading.excepthook = show_failure
            logging.getLogger().removeHandler(handler)

    def open_log(self, folder: Path, session: str | None) -> None:
        """Opens the run.log of a folder, and writes the messages so far.

        Args:
            folder: folder of the run.
            session: name of the session, written with the date; None to continue one.
        """
        self._log = TextLog(folder / RUN_LOG, self.say)
        if session:
            self._log.write(f"=== {datetime.now():%Y-%m-%d %H:%M:%S}: {session}")
        unlogged = self._unlogged
        self._unlogged = []
        for text in unlogged:
            self._log.write(text)
        self._log_lost_streams()

    def log(self, text: str) -> None:
        """Writes lines to run.log alone."""
        if self._log:
            self._log.write(text)
        else:
            self._unlogged.append(text)

    def say(self, text: str) -> None:
        """Prints a permanent line, and logs it."""
        self.console.print(text, markup=False)
        self.log(text)
        self._log_lost_streams()

    def start(self, epochs: int, steps_per_epoch: int, step: int) -> None:
        """Starts the display of a training at `step` of at most epochs * steps_per_epoch."""
        self.finish()  # ends the bar of the layer below
        self._steps_per_epoch = steps_per_epoch
        self._total = epochs * steps_per_epoch
        self._first_step = step
        self._begun = time.monotonic()
        self._losses: list[str] = []
        self._open_bar()
        self._draw(step)

    def step(self, step: int) -> None:
        """Shows the progress of a step, as often as the output allows."""
        now = time.monotonic()
        if self._bar and now - self._last_draw > SECONDS_BETWEEN_REDRAWS:
            self._last_draw = now
            self._draw(step)
        if now - max(self._last_line, self._begun) > SECONDS_WITHIN_EPOCH:
            self._last_line = now
            self._report(f"{step / self._steps_per_epoch:.1f}", step)

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Shows the logged values of a finished epoch."""
        self._losses = [f"loss {format_value(values['train/loss'])}"]
        self._losses += [f"{name} {format_value(v)}" for name, v in values.items() if name.startswith("valid/")][:1]
        step = epoch * self._steps_per_epoch
        now = time.monotonic()
        self._draw(step)
        is_due = now - self._last_line > SECONDS_BETWEEN_LINES or step >= self._total
        if is_due:
            self._last_line = now
        self._report(str(epoch), step, is_due)

    def finish(self) -> None:
        """Ends the bar; its last line stays."""
        if self._bar:
            self._bar.finish()
            self._bar = None

    def start_estimator(self, name: str) -> None:
        """Starts the display of an estimator."""
        self.finish()
        self._begun = time.monotonic()
        self._estimator_name = name
        self._open_bar()
        if self._bar:
            self._bar.draw([Part(0, name)])

    def update_estimator(self, done: int, total: int) -> None:
        """Shows the progress of an estimator."""
        now = time.monotonic()
        percent = 100 * done // total
        left = f"{format_duration((now - self._begun) / done * (total - done))} left" if done else ""
        if self._bar and (done == total or now - self._last_draw > SECONDS_BETWEEN_REDRAWS):
            self._last_draw = now
            self._bar.draw(
                [Part(0, self._estimator_name), Part(1, f"{percent}%"), self._make_graph(done, total), Part(2, left)]
            )
        if now - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._write_line(f"{self._estimator_name} {percent}%  {left}")

    def print_estimates(self, rows: Sequence[Mapping[str, Any]], title: str, notes: Sequence[str]) -> None:
        """Prints the table of estimates, and lines below it."""
        self.finish()
        self.console.print(_fit_table(rows, title, self.console.width), soft_wrap=True)
        self.log(_format_table(_fit_table(rows, title, FILE_WIDTH)))
        settings: dict[str, dict[str, str]] = {}
        for row in rows:
            if row["settings"]:
                settings.setdefault(row["estimator"], {}).update(
                    {k: _format_setting(v) for k, v in row["settings"].items()}
                )
        listed = {name: ", ".join(f"{k}={v}" for k, v in values.items()) for name, values in settings.items()}
        for note in [*(f"{name}: {text}" for name, text in listed.items()), *notes]:
            self.say(note)

    def _open_bar(self) -> None:
        if self.console.file.isatty() and not self.console.is_dumb_terminal:
            self._bar = Bar(self.console)

    def _draw(self, step: int) -> None:
        if not self._bar:
            return
        speed, left = self._estimate_pace(step)
        epoch = step // self._steps_per_epoch
        epochs = self._total // self._steps_per_epoch
        losses = [Part(rank, text) for rank, text in enumerate(self._losses, 2)]
        self._bar.draw(
            [
                Part(0, f"epoch {epoch}/{epochs}"),
                self._make_graph(epoch, epochs),
                *losses,
                Part(4, speed),
                Part(1, left),
            ]
        )

    def _make_graph(self, done: int, total: int) -> Part:
        full = BAR_WIDTH * done // max(total, 1)
        return Part(5, "━" * full + "·" * (BAR_WIDTH - full))

    def _report(self, epoch: str, step: int, is_due: bool = True) -> None:
        """Writes a line about an epoch to run.log, and prints it if it is due and there is no bar."""
        parts = [f"epoch {epoch}/{self._total // self._steps_per_epoch}", *self._losses, *self._estimate_pace(step)]
        self._write_line("  ".join(filter(None, parts)), is_due)

    def _write_line(self, text: str, is_due: bool = True) -> None:
        if is_due and not self._bar:
            self.say(text)
        else:
            self.log(text)

    def _estimate_pace(self, step: int) -> tuple[str, str]:
        """Returns the speed and the remaining time, in words."""
        done = step - self._first_step
        if not done:
            return "", ""
        seconds = max(time.monotonic() - self._begun, 1e-9) / done
        return f"{1 / seconds:.0f} steps/s", f"at most {format_duration(seconds * (self._total - step))} left"

    def _log_lost_streams(self) -> None:
        """Logs each output that can no longer be written, once."""
        lost = output.find_lost_streams()
        if isinstance(self.console.file, output.Output) and self.console.file.lost:
            lost.setdefault("standard output", self.console.file.lost)
        for name, error in lost.items():
            if self._log and name not in self._reported_streams:
                self._reported_streams.add(name)
                self._log.write(f"{name} is lost ({output.get_reason(error)}): only this file gets further messages")


class _LogHandler(logging.Handler):
    """Handler that writes the messages of libraries to run.log."""

    def __init__(self, display: Terminal):
        super().__init__()
        self.display = display

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.display.log(self.format(record))
        except Exception:  # the arguments of a message may not fit its format
            self.handleError(record)


def _fit_table(rows: Sequence[Mapping[str, Any]], title: str, width: int) -> Table:
    """Makes the table of estimates. Without room for all columns, estimators are headings, then intervals are left out.

    A table that is still too wide keeps its width, so that no digit is cut off.
    """
    for left_out in ((), ("estimator",), ("estimator", "95% interval")):
        table = _make_table(rows, title, left_out)
        table.width = Console(width=1000, markup=False, emoji=False).measure(table).maximum
        if table.width <= width:
            break
    return table


def _make_table(rows: Sequence[Mapping[str, Any]], title: str, left_out: Sequence[str]) -> Table:
    """Makes the table of estimates, with a column for the train reference only if a row has one."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    columns = {
        "quantity": [f"{row['split']}/{row['quantity']}" for row in rows],
        "value": [_format_decimals(row["value"], 0 if row["quantity"] == "active_units" else 3) for row in rows],
        "± s.e.": [_format_decimals(row["stderr"]) for row in rows],
        "95% interval": [" to ".join(map(_format_decimals, row["interval"] or ())) for row in rows],
        "train_reference": [_format_decimals(row["train_reference"]) for row in rows],
        "unit": [row["unit"] for row in rows],
        "kind": [row["kind"].replace("_", " ") for row in rows],
        "estimator": [row["estimator"] for row in rows],
    }
    if not any(columns["train_reference"]):
        left_out = [*left_out, "train_reference"]
    for name in [each for each in columns if each not in left_out]:
        numeric = name in ("value", "± s.e.", "95% interval", "train_reference")
        table.add_column(name, justify="right" if numeric else "left", no_wrap=True)
    estimator = None
    for i, row in enumerate(rows):
        if "estimator" in left_out and row["estimator"] != estimator:
            estimator = row["estimator"]
            table.add_row(f"by {estimator}:")
        table.add_row(*(cells[i] for name, cells in columns.items() if name not in left_out))
    return table


def _format_table(table: Table) -> str:
    """Formats a table as lines without escape codes."""
    file = io.StringIO()
    console = Console(file=file, width=FILE_WIDTH, color_system=None, force_terminal=False, markup=False, emoji=False)
    console.print(table, soft_wrap=True)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def _format_decimals(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def format_value(value: float) -> str:
    """Formats a value in nats with two decimals, or a small value with two significant digits."""
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"


def format_duration(seconds: float) -> str:
    """Formats a duration as 0:07, 12:34 or 1:02:03."""
    minutes, s = divmod(round(max(0.0, seconds)), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


def summarize_run(contents: Mapping[str, Any], folder: Path) -> list[str]:
    """Writes the lines below the table of a finished run, from the contents of its results.json."""
    training = contents["training"]
    likelihoods = [row for row in contents["estimates"] if row["quantity"] == "log_likelihood"]
    lines = [
        f"{row['num_examples']} test examples, binarisation {contents['preprocessing']}" for row in likelihoods[:1]
    ]
    if training["best"] is not None:
        lines.append(
            f"{training['epochs']} {'epoch' if training['epochs'] == 1 else 'epochs'} in "
            f"{format_duration(training['seconds'])} (stopped by {training['stopped_by']}), "
            f"{training['examples_per_second']:,.0f} examples/s; "
            f"best {training['monitor']} {format_value(training['best'])} after epoch {training['best_epoch']}"
        )
    if published := contents["published"]:
        numbers = ", ".join(f"{quantity} {value}" for quantity, value in published["values"].items())
        lines.append(f"published: {numbers} ({KINDS[published['kind']]}: {published['source']})")
    lines += describe_failures(contents["failed_estimators"], folder)
    lines += describe_diagnostics(contents["estimates"])
    lines.append(f"outputs in {folder}")
    if any(folder.glob("events.out.tfevents.*")):
        lines.append(f"to view them: {show_runs(folder.parent)}")
    return lines


def describe_failures(failed: Mapping[str, str], folder: Path) -> list[str]:
    """Names the failed estimators and the command that runs them again."""
    if not failed:
        return []
    lines = [f"estimators.{name} failed: {reason}" for name, reason in failed.items()]
    return [*lines, f"to run them again: {run_estimators(folder, list(failed))}"]


def describe_diagnostics(estimates: Sequence[Mapping[str, Any]]) -> list[str]:
    """Writes the diagnostics of each estimator, a line for every distinct set of them, then all warnings."""
    quantities: dict[str, dict[str, str]] = {}  # first quantity by estimator and diagnostics
    for row in estimates:
        listed = [f"{name} {'unknown' if v is None else f'{v:.5g}'}" for name, v in row["diagnostics"].items()]
        if listed:
            quantities.setdefault(row["estimator"], {}).setdefault(", ".join(listed), row["quantity"])
    lines = []
    for estimator, by_diagnostics in quantities.items():
        for diagnostics, quantity in by_diagnostics.items():
            name = estimator if len(by_diagnostics) == 1 else f"{estimator}, {quantity}"
            lines.append(f"{name}: {diagnostics}")
    return lines + [f"{row['quantity']}: {line}" for row in estimates for line in (row["warning"] or "").splitlines()]


def _format_setting(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
