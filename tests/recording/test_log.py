import json
import os

import numpy as np
import pytest
import torch

from dgm_run.recording.base import Logger
from dgm_run.recording.log import RunLog, TextLog
from dgm_run.recording.logged_run import LoggedRun


class ListLogger(Logger):
    """Logger that keeps its calls."""

    def __init__(self):
        self.calls = []

    def open(self, run):
        return {}

    def scalars(self, values, step, epoch):
        self.calls.append(("scalars", dict(values), step, epoch))

    def picture(self, name, picture, step):
        self.calls.append(("picture", name, picture.height, picture.width, step))

    def histogram(self, name, values, step):
        self.calls.append(("histogram", name, values.shape, step))

    def close(self, status):
        self.calls.append(("close", status))


def open_log(folder, *loggers, warn=print, offset=0, resumed_step=None):
    run = LoggedRun(folder, {}, resumed_step)
    return RunLog(run, {str(number): each for number, each in enumerate(loggers)}, warn, offset)


def test_scalars_go_to_file_and_loggers(tmp_path):
    logger = ListLogger()
    log = open_log(tmp_path, logger)
    log.scalars({"train/loss": 1.5, "valid/elbo": -2.0}, step=3, epoch=1)
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [
        {"step": 3, "epoch": 1, "name": "train/loss", "value": 1.5},
        {"step": 3, "epoch": 1, "name": "valid/elbo", "value": -2.0},
    ]
    assert logger.calls == [("scalars", {"train/loss": 1.5, "valid/elbo": -2.0}, 3, 1), ("close", "stopped")]


def test_no_values_leave_no_line(tmp_path):
    log = open_log(tmp_path)
    log.scalars({}, step=3, epoch=1)
    log.close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_speed_stays_out_of_metrics(tmp_path):
    logger = ListLogger()
    log = open_log(tmp_path, logger)
    log.speed({"speed/examples_per_second": 5.0}, step=1)
    log.close()
    assert (tmp_path / "metrics.jsonl").read_text() == ""
    assert logger.calls[0] == ("scalars", {"speed/examples_per_second": 5.0}, 1, None)


def test_a_resumed_log_cuts_what_came_after_its_checkpoint(tmp_path):
    log = open_log(tmp_path)
    log.scalars({"a": 1.0}, 1, 1)
    offset = log.sync()
    log.scalars({"a": 2.0}, 2, 2)
    log.close()
    log = open_log(tmp_path, offset=offset, resumed_step=1)
    log.scalars({"a": 3.0}, 2, 2)
    log.close()
    assert [json.loads(line)["value"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1.0, 3.0]


def test_short_metrics_file_is_not_padded(tmp_path):
    open_log(tmp_path, offset=1000).close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_pictures_are_files(tmp_path):
    logger = ListLogger()
    log = open_log(tmp_path, logger)
    log.picture("samples", np.zeros((4, 6, 3), np.uint8), 1, "epoch_0001.png")
    log.histogram("weights/w", torch.randn(10), 1)
    log.close()
    assert (tmp_path / "samples" / "epoch_0001.png").read_bytes().startswith(b"\x89PNG")
    assert logger.calls[:2] == [("picture", "samples", 4, 6, 1), ("histogram", "weights/w", (10,), 1)]


@pytest.mark.parametrize(("is_success", "status"), [(True, "finished"), (False, "failed")])
def test_loggers_know_how_the_run_ended(is_success, status, tmp_path):
    logger = ListLogger()
    log = open_log(tmp_path, logger)
    log.end(is_success)
    log.close()
    assert logger.calls == [("close", status)]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_said_once_and_does_not_end_the_run(tmp_path):
    said = []
    log = open_log(tmp_path, warn=said.append)
    log._metrics = open("/dev/full", "wb")  # noqa: SIM115
    for step in range(3):
        log.scalars({"a": 1.0}, step, step)
        log._guard(log._metrics.flush)
    log.close()
    assert len(said) == 1
    assert "No space left on device" in said[0]


def test_the_text_log_appends_plain_lines(tmp_path):
    for text in ("first ±\n", "second\nthird"):
        TextLog(tmp_path / "run.log", print).write(text)
    assert (tmp_path / "run.log").read_bytes() == "first ±\nsecond\nthird\n".encode()


@pytest.mark.parametrize("path", ["/dev/full", "/", "missing/run.log"])
def test_unwritable_log_is_reported_once(path, tmp_path):
    said = []
    log = TextLog(tmp_path / path, said.append)
    log.write("a")
    log.write("b")
    assert len(said) == 1
    assert said[0].startswith(f"cannot write to {tmp_path / path} (")
    assert said[0].endswith("; the run continues")


@pytest.mark.parametrize(("content", "kept"), [(b"[]", b""), (b'{"a": 1}\n{"b"', b'{"a": 1}\n'), (b"", b"")])
def test_a_damaged_record_of_metrics_is_said(content, kept, tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(content)
    said = []
    log = open_log(tmp_path, warn=said.append, offset=100)
    log.scalars({"c": 2.0}, 1, 1)
    log.close()
    lines = (tmp_path / "metrics.jsonl").read_bytes()
    assert lines == kept + b'{"step": 1, "epoch": 1, "name": "c", "value": 2.0}\n'
    assert "is damaged: it has lost metrics" in said[0]
