import json
import os

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from dgm_run.recording.log import RunLog, TextLog


def events(folder) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0, "histograms": 0})
    return accumulator.Reload()


def test_scalars_go_to_both_sinks(tmp_path):
    log = RunLog(tmp_path, print)
    log.scalars({"train/loss": 1.5, "valid/elbo": -2.0}, step=3, epoch=1)
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [
        {"step": 3, "epoch": 1, "name": "train/loss", "value": 1.5},
        {"step": 3, "epoch": 1, "name": "valid/elbo", "value": -2.0},
    ]
    assert [(e.step, e.value) for e in events(tmp_path).Scalars("valid/elbo")] == [(3, -2.0)]


def test_no_values_leave_no_line(tmp_path):
    log = RunLog(tmp_path, print)
    log.scalars({}, step=3, epoch=1)
    log.close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_speed_stays_out_of_metrics(tmp_path):
    log = RunLog(tmp_path, print)
    log.speed({"speed/examples_per_second": 5.0}, step=1)
    log.close()
    assert (tmp_path / "metrics.jsonl").read_text() == ""
    assert events(tmp_path).Scalars("speed/examples_per_second")[0].value == 5.0


def test_a_resumed_log_cuts_what_came_after_its_checkpoint(tmp_path):
    log = RunLog(tmp_path, print)
    log.scalars({"a": 1.0}, 1, 1)
    offset = log.sync()
    log.scalars({"a": 2.0}, 2, 2)
    log.close()
    log = RunLog(tmp_path, print, offset, purge_step=2)
    log.scalars({"a": 3.0}, 2, 2)
    log.close()
    assert [json.loads(line)["value"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1.0, 3.0]
    assert [e.value for e in events(tmp_path).Scalars("a")] == [1.0, 3.0]


def test_short_metrics_file_is_not_padded(tmp_path):
    RunLog(tmp_path, print, offset=1000).close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_pictures_are_files_and_events(tmp_path):
    log = RunLog(tmp_path, print)
    log.picture("samples", np.zeros((4, 6, 3), np.uint8), 1, "epoch_0001.png")
    log.histogram("weights/w", torch.randn(10), 1)
    log.hparams({"prior": "VampPrior", "lr": 0.1})
    log.close()
    assert (tmp_path / "samples" / "epoch_0001.png").read_bytes().startswith(b"\x89PNG")
    found = events(tmp_path)
    assert (found.Images("samples")[0].width, found.Images("samples")[0].height) == (6, 4)
    assert "weights/w" in found.Tags()["distributions"]
    plugin = found.SummaryMetadata("_hparams_/session_start_info").plugin_data
    assert plugin.plugin_name == "hparams"


@pytest.mark.parametrize(("is_success", "status"), [(True, STATUS_SUCCESS), (False, STATUS_FAILURE)])
def test_how_run_ended_known_to_hparams_page(is_success, status, tmp_path):
    log = RunLog(tmp_path, print)
    log.hparams({"prior": "VampPrior"})
    log.end(is_success)
    log.close()
    content = events(tmp_path).SummaryMetadata("_hparams_/session_end_info").plugin_data.content
    assert HParamsPluginData.FromString(content).session_end_info.status == status


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_said_once_and_does_not_end_the_run(tmp_path):
    said = []
    log = RunLog(tmp_path, said.append)
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
    log = RunLog(tmp_path, said.append, offset=100)
    log.scalars({"c": 2.0}, 1, 1)
    log.close()
    lines = (tmp_path / "metrics.jsonl").read_bytes()
    assert lines == kept + b'{"step": 1, "epoch": 1, "name": "c", "value": 2.0}\n'
    assert "is damaged: it has lost metrics" in said[0]
