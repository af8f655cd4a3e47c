"""Callbacks through whole runs: when they are called, and that they change no bit."""

import json
import sys
import types

import pytest
import torch

import dgm_run
from dgm_run.distributed.signals import Interrupted
from dgm_run.recording.checkpoint import Checkpoints
from dgm_run.trainers.callbacks.base import Callback
from tests.support.tiny import TINY, TINY_LAYERS, metrics, stop_after


class Recorder(Callback):
    """Callback that keeps its calls in a file, draws random numbers, and uses the model."""

    def __init__(self, stop_after: int | None = None):
        self.stop_after = stop_after
        self.num_steps = 0

    def _write(self, training, *call):
        torch.rand(3)
        training.model.sample(2)
        with open(training.folder / "calls.jsonl", "a") as file:
            file.write(f"{json.dumps([training.step, *call])}\n")

    def on_start(self, training):
        self._write(training, "start")

    def on_step(self, training):
        self.num_steps += 1

    def on_epoch(self, training, values):
        self._write(training, "epoch", values["train/loss"], self.num_steps)
        if training.step == self.stop_after:
            training.stop("recorder")

    def on_validation(self, training, values):
        self._write(training, "validation", values[training.monitor])

    def on_end(self, training):
        self._write(training, "end")

    def state_dict(self):
        return {"num_steps": self.num_steps}

    def load_state_dict(self, state):
        self.num_steps = state["num_steps"]


@pytest.fixture(autouse=True)
def own_module(monkeypatch):
    """Makes the callback importable, as a user's own module is."""
    module = types.ModuleType("own_callbacks")
    module.Recorder = Recorder
    monkeypatch.setitem(sys.modules, "own_callbacks", module)


OWN = "+callbacks.recorder._target_=own_callbacks.Recorder"


def run(folder, *overrides):
    return dgm_run.run(dgm_run.compose(*TINY, *overrides), folder)


def calls(folder):
    return [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]


def weights(folder):
    return Checkpoints(folder / "checkpoints").load("last")[0]


def assert_equal_runs(one, other):
    assert metrics(one) == metrics(other)
    assert all(torch.equal(value, weights(other)[name]) for name, value in weights(one).items())


def test_calls_come_in_order(tmp_path):
    run(tmp_path, OWN, "trainer.max_epochs=3", "trainer.eval_every=2")
    values = {(line["name"], line["step"]): line["value"] for line in metrics(tmp_path)}
    assert calls(tmp_path) == [
        [0, "start"],
        [3, "epoch", values["train/loss", 3], 3],
        [6, "validation", values["valid/elbo", 6]],
        [6, "epoch", values["train/loss", 6], 6],
        [9, "validation", values["valid/elbo", 9]],
        [9, "epoch", values["train/loss", 9], 9],
        [9, "end"],
    ]


def test_callbacks_change_no_bit(tmp_path):
    options = ("trainer.max_epochs=2", "trainer.ema_decay=0.9")
    run(tmp_path / "with", OWN, *options)
    run(tmp_path / "without", *options)
    assert_equal_runs(tmp_path / "with", tmp_path / "without")


def test_state_goes_on_after_a_resume(tmp_path, monkeypatch):
    options = (OWN, "trainer.max_epochs=3", "trainer.resume=auto")
    run(tmp_path / "whole", *options)
    with monkeypatch.context() as patch:
        stop_after(4, patch)
        with pytest.raises(Interrupted):
            run(tmp_path / "resumed", *options)
    assert ["end"] not in [each[1:] for each in calls(tmp_path / "resumed")]
    run(tmp_path / "resumed", *options)
    assert_equal_runs(tmp_path / "whole", tmp_path / "resumed")
    assert calls(tmp_path / "resumed")[-2] == calls(tmp_path / "whole")[-2]


def test_callback_ends_a_run_for_its_reason(tmp_path):
    options = (OWN, "+callbacks.recorder.stop_after=6")
    found = run(tmp_path, *options, "trainer.max_epochs=9")
    assert (found["training"]["steps"], found["training"]["stopped_by"]) == (6, "recorder")
    found = run(tmp_path, *options, "trainer.max_epochs=10", "trainer.resume=auto")
    assert (found["training"]["steps"], found["training"]["stopped_by"]) == (6, "recorder")


def test_each_layer_calls_its_own_training(tmp_path):
    dgm_run.run(dgm_run.compose("model=dbn", *TINY_LAYERS, OWN), tmp_path)
    assert [each[1] for each in calls(tmp_path)] == ["start", "validation", "epoch", "end"] * 3
