import fcntl
import io
import logging
import os
import re
import select
import struct
import sys
import termios
import threading
import warnings
from pathlib import Path

import pyte
import pytest
from rich.console import Console

from dgm_run.distributed.signals import Interrupted
from dgm_run.errors import DataError
from dgm_run.recording.output import guard_output
from dgm_run.recording.terminal import Terminal, describe_diagnostics, format_duration, format_value, summarize_run

ROW = {
    "quantity": "log_likelihood", "split": "test", "value": -84.5, "stderr": 0.25, "unit": "nats", "kind": "estimate",
    "estimator": "importance_sampling", "settings": {"num_samples": 5000}, "train_reference": None,
    "interval": [-85.0, -84.0625],
}  # fmt: skip


def terminal(**options):
    stream = io.StringIO()
    return Terminal(Console(file=stream, width=160, markup=False, emoji=False, **options)), stream


def test_durations_read_like_a_clock():
    assert [format_duration(s) for s in (0.4, 7, 754, 3723, -1)] == ["0:00", "0:07", "12:34", "1:02:03", "0:00"]


def test_without_terminal_there_plain_lines():
    display, stream = terminal(force_terminal=False)
    display.start(epochs=2, steps_per_epoch=10, step=0)
    display.step(10)
    display.epoch(2, {"train/loss": 100.0, "valid/elbo": -99.5})
    line = stream.getvalue()
    assert line.startswith("epoch 2/2  loss 100.00  valid/elbo -99.50  ")
    assert "\x1b" not in line


def test_long_epoch_prints_its_progress(monkeypatch):
    display, stream = terminal(force_terminal=False)
    display.start(epochs=2, steps_per_epoch=10, step=0)
    display.step(3)
    assert not stream.getvalue()
    monkeypatch.setattr("dgm_run.recording.terminal.SECONDS_WITHIN_EPOCH", -1.0)
    display.step(4)
    assert stream.getvalue().startswith("epoch 0.4/2  ")
    assert "left" in stream.getvalue()


class Window:
    """A terminal of some width, and what its screen shows."""

    def __init__(self, columns):
        self.master, slave = os.openpty()
        self.file = os.fdopen(slave, "w", encoding="utf-8")
        self.screen = pyte.Screen(columns, 24)
        self.stream = pyte.ByteStream(self.screen)
        self.resize(columns)

    def resize(self, columns):
        """Resizes the terminal; it cuts its lines."""
        self.feed()
        fcntl.ioctl(self.file.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.screen.resize(24, columns)

    def rewrap(self, columns):
        """Resizes the terminal; it wraps its lines anew, and the cursor stays at its character."""
        lines, at = self.lines(), self.screen.cursor.y
        self.resize(columns)
        self.screen.reset()
        rows = [[line[i : i + columns] for i in range(0, len(line), columns)] or [""] for line in lines]
        self.stream.feed("\r\n".join(row for each in rows for row in each).encode())
        self.screen.cursor.y, self.screen.cursor.x = sum(map(len, rows[:at])), 0

    def feed(self):
        while select.select([self.master], [], [], 0.05)[0]:  # what was written arrives a little later
            self.stream.feed(os.read(self.master, 100_000))

    def lines(self):
        """Returns the lines of the screen, without empty ones at its end."""
        self.feed()
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip().split("\n")


@pytest.fixture
def window(monkeypatch):
    """Opens a terminal window and a display in it."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("dgm_run.recording.terminal.SECONDS_BETWEEN_REDRAWS", -1.0)
    opened = []

    def make(columns):
        shown = Window(columns)
        monkeypatch.setattr(sys, "stdout", shown.file)
        opened.append(Terminal())
        return shown, opened[-1]

    yield make
    for display in opened:
        display.finish()


def begin(display, epochs=12000):
    display.start(epochs=epochs, steps_per_epoch=10, step=0)
    display.epoch(epochs // 10, {"train/loss": 100.0, "valid/elbo": -99.5})


@pytest.mark.parametrize("columns", [160, 80, 40, 16])
def test_a_bar_of_any_width_shows_the_epoch(columns, window):
    shown, display = window(columns)
    begin(display)
    (line,) = shown.lines()
    assert "epoch 1200/12000"[: columns - 1] in line
    assert ("left" in line) == (columns >= 40)
    assert ("loss 100.00" in line and "valid/elbo -99.50" in line) == (columns >= 80)
    assert ("steps/s" in line and "━" in line) == (columns >= 160)


@pytest.mark.parametrize("shrink", [Window.resize, Window.rewrap])
def test_a_shrinking_window_keeps_one_bar(shrink, window):
    shown, display = window(80)
    display.say("before")
    begin(display)
    shrink(shown, 40)
    display.step(12005)
    before, line = shown.lines()
    assert before == "before"
    assert line.startswith("epoch 1200/12000  ")
    shrink(shown, 80)
    display.step(12010)
    display.finish()
    display.say("after")
    before, line, after = shown.lines()
    assert (before, after) == ("before", "after")
    assert line.startswith("epoch 1201/12000  ")
    assert "valid/elbo -99.50" in line


def test_lines_stand_above_the_bar(window, monkeypatch):
    shown, display = window(80)
    monkeypatch.setattr(sys, "stderr", shown.file)
    with guard_output():
        begin(display)
        display.say("said")
        sys.stderr.write("a warning of a library\n")
        display.step(12005)
        said, warning, bar = shown.lines()
    assert (said, warning) == ("said", "a warning of a library")
    assert bar.startswith("epoch 1200/12000")


def test_a_dumb_terminal_gets_plain_lines(window, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    shown, display = window(80)
    begin(display)
    assert shown.lines()[0].startswith("epoch 1200/12000  loss 100.00")
    assert "\x1b" not in "".join(shown.lines())


def test_an_evaluation_has_a_bar_of_its_own(window):
    shown, display = window(80)
    begin(display)
    display.start_estimator("importance_sampling")
    display.update_estimator(25, 50)
    training, evaluation = shown.lines()
    assert training.startswith("epoch 1200/12000")
    assert evaluation.startswith("importance_sampling  50%  ")
    assert evaluation.endswith("0:00 left")


def test_terminal_that_is_gone_ends_nothing(window, tmp_path):
    shown, display = window(80)
    begin(display)
    os.close(shown.master)
    display.step(12005)
    display.say("unseen")
    display.open_log(tmp_path, "training")
    display.say("also unseen")
    log = (tmp_path / "run.log").read_text()
    assert "unseen\n" in log
    assert "standard output is lost (Input/output error)" in log


# run.log


def log_lines(folder):
    return (folder / "run.log").read_text(encoding="utf-8").splitlines()


def test_the_log_has_all_lines_and_no_escape_codes(window, tmp_path):
    _, display = window(40)
    display.say("before the folder is held")
    display.open_log(tmp_path, "training")
    begin(display, epochs=2)
    display.epoch(1, {"train/loss": 3.0})
    display.epoch(2, {"train/loss": 2.0})
    display.print_estimates([ROW], "Estimates", ["a note"])
    head, *lines = log_lines(tmp_path)
    assert re.fullmatch(r"=== \d{4}-\d\d-\d\d \d\d:\d\d:\d\d: training", head)
    assert lines[0] == "before the folder is held"
    assert [line.split("  ")[:2] for line in lines[2:4]] == [["epoch 1/2", "loss 3.00"], ["epoch 2/2", "loss 2.00"]]
    table = lines[lines.index("Estimates") :]
    assert table[1].split() == ["quantity", "value", "±", "s.e.", "95%", "interval", "unit", "kind", "estimator"]
    assert table[-2:] == ["importance_sampling: num_samples=5000", "a note"]
    assert "\x1b" not in "".join(lines)


def test_sessions_follow_one_another_in_log(tmp_path):
    for session in ("training", "evaluation"):
        display, _ = terminal(force_terminal=False)
        display.open_log(tmp_path, session)
        display.say(f"of the {session}")
    assert [line.rpartition(": ")[2] for line in log_lines(tmp_path)] == [
        "training", "of the training", "evaluation", "of the evaluation"
    ]  # fmt: skip


def test_warnings_and_messages_of_libraries_are_logged(tmp_path):
    display, _ = terminal(force_terminal=False)
    before = warnings.showwarning
    with warnings.catch_warnings(record=True) as shown, display.capture_messages():
        display.open_log(tmp_path, "training")
        warnings.warn("odd", UserWarning, stacklevel=1)
        logging.getLogger("any").warning("%s of 10", 3)
    assert len(shown) == 1
    assert warnings.showwarning is before
    assert log_lines(tmp_path)[1:] == ["UserWarning: odd", "3 of 10"]


def test_a_thread_that_fails_is_logged(tmp_path, capsys):
    display, _ = terminal(force_terminal=False)
    with display.capture_messages():
        display.open_log(tmp_path, "training")
        thread = threading.Thread(target=lambda: {}["key"])
        thread.start()
        thread.join()
    assert log_lines(tmp_path)[-1] == "KeyError: 'key'"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "last"),
    [(DataError("no file"), "no file"), (Interrupted(15, "stopped after step 3"), "stopped after step 3"),
     (KeyboardInterrupt(), "interrupted"), (KeyError("x"), "KeyError: 'x'")],
)  # fmt: skip
def test_why_a_run_ended_is_logged(error, last, tmp_path):
    display, _ = terminal(force_terminal=False)
    with pytest.raises(type(error)), display.capture_messages():
        display.open_log(tmp_path, "training")
        raise error
    assert log_lines(tmp_path)[-1] == last


def test_no_folder_means_no_log(tmp_path):
    display, _ = terminal(force_terminal=False)
    with pytest.raises(DataError), display.capture_messages():
        display.say("here")
        raise DataError("refused")
    assert not list(tmp_path.iterdir())


def test_names_are_shown_as_they_are():
    display, stream = terminal(force_terminal=False)
    display.print_estimates([ROW | {"quantity": "nll[/b]:+1:"}], "Estimates", ["[bold]"])
    assert "test/nll[/b]:+1:" in stream.getvalue()
    assert "[bold]" in stream.getvalue()


def test_the_table_names_estimator_settings_kind_and_error():
    display, stream = terminal(force_terminal=False)
    display.print_estimates([ROW], "Estimates", ["a note"])
    shown = stream.getvalue()
    for part in (
        "test/log_likelihood",
        "-84.500",
        "0.250",
        "-85.000 to -84.062",
        "nats",
        "estimate",
        "num_samples=5000",
        "a note",
    ):
        assert part in shown


@pytest.mark.parametrize(("width", "reference"), [(80, None), (80, -83.25), (40, None)])
def test_narrow_tables_keep_every_digit(width, reference):
    stream = io.StringIO()
    display = Terminal(Console(file=stream, width=width, markup=False, soft_wrap=True))
    rows = [ROW | {"train_reference": reference}, ROW | {"quantity": "elbo", "estimator": "monte_carlo"}]
    display.print_estimates(rows, "Estimates", [])
    table = stream.getvalue().splitlines()[1:6]
    assert [line.split()[0] for line in table] == ["quantity", "by", "test/log_likelihood", "by", "test/elbo"]
    assert [line.strip() for line in table[1::2]] == ["by importance_sampling:", "by monte_carlo:"]
    assert all(number in line for line in table[2::2] for number in ("-84.500", "0.250", "nats"))
    assert reference is None or "-83.250" in table[2]
    assert width == 40 or max(map(len, table)) <= width


def test_each_warning_has_a_line():
    rows = [
        {"quantity": "elbo", "estimator": "iwae", "diagnostics": {}, "warning": text} for text in ("a: b; c\nd", None)
    ]
    assert describe_diagnostics(rows) == ["elbo: a: b; c", "elbo: d"]


def test_floor_has_column_where_there_is_one():
    display, stream = terminal(force_terminal=False)
    display.print_estimates([ROW], "Estimates", [])
    assert "train_reference" not in stream.getvalue()
    display.print_estimates([ROW, ROW | {"quantity": "cfid", "value": 3.5, "train_reference": 0.25}], "Estimates", [])
    heading, first, second = stream.getvalue().splitlines()[-4:-1]
    assert heading.split()[:7] == ["quantity", "value", "±", "s.e.", "95%", "interval", "train_reference"]
    assert first.split()[1:7] == ["-84.500", "0.250", "-85.000", "to", "-84.062", "nats"]
    assert second.split()[1:7] == ["3.500", "0.250", "-85.000", "to", "-84.062", "0.250"]


def test_missing_interval_is_an_empty_cell():
    display, stream = terminal(force_terminal=False)
    display.print_estimates([ROW | {"stderr": None, "interval": None}], "Estimates", [])
    assert stream.getvalue().splitlines()[-2].split()[1:3] == ["-84.500", "nats"]


def test_likelihood_table_fits_100_columns():
    display, stream = terminal(force_terminal=False)
    display.print_estimates([ROW, ROW | {"quantity": "elbo", "kind": "lower_bound"}], "Estimates", [])
    assert max(map(len, stream.getvalue().splitlines())) <= 100


def test_evaluation_reports_its_progress():
    display, stream = terminal(force_terminal=False)
    display.start_estimator("importance_sampling")
    display.update_estimator(25, 50)
    assert "importance_sampling 50%" in stream.getvalue()


def test_small_numbers_keep_two_digits():
    assert [format_value(v) for v in (-22.281, 0.1, 0.0, -0.0123, 0.00456)] == [
        "-22.28",
        "0.10",
        "0.00",
        "-0.012",
        "0.0046",
    ]


def test_summary_has_training_and_published(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "events.out.tfevents.1").touch()
    found = {
        "preprocessing": "dynamic",
        "failed_estimators": {"ais": "LinAlgError: singular", "parzen": "no"},
        "published": {"kind": "paper", "values": {"log_likelihood": -84.5, "elbo": -86.0}, "source": "Table 1"},
        "estimates": [
            ROW | {"num_examples": 360, "diagnostics": {"ess_median": 12.5}, "warning": None},
            ROW | {"num_examples": 360, "quantity": "elbo", "diagnostics": {"ess_median": 12.5}, "warning": "too few"},
            ROW | {"num_examples": 360, "quantity": "kl", "diagnostics": {"ess_median": None}, "warning": None},
        ],
        "training": {
            "epochs": 7, "seconds": 61.0, "stopped_by": "patience", "examples_per_second": 1234.5,
            "monitor": "valid/elbo", "best": -22.4, "best_epoch": 5,
        },
    }  # fmt: skip
    assert summarize_run(found, folder) == [
        "360 test examples, binarisation dynamic",
        "7 epochs in 1:01 (stopped by patience), 1,234 examples/s; best valid/elbo -22.40 after epoch 5",
        "published: log_likelihood -84.5, elbo -86.0 (a paper's number: Table 1)",
        "estimators.ais failed: LinAlgError: singular",
        "estimators.parzen failed: no",
        f"to run them again: dgm-eval {folder} 'estimators=[ais,parzen]'",
        "importance_sampling, log_likelihood: ess_median 12.5",
        "importance_sampling, kl: ess_median unknown",
        "elbo: too few",
        f"outputs in {folder}",
        f"to view them: tensorboard --logdir {tmp_path}",
    ]
    found["training"]["epochs"] = 1
    assert summarize_run(found, Path("outputs/run"))[1].startswith("1 epoch in 1:01 ")
