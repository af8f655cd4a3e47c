"""The contract of a step, by one that the training loop drives."""

from pathlib import Path

import pytest
import torch

from dgm_run.config.compose import compose, instantiate
from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributed.signals import StopRequest
from dgm_run.recording.silent import NoCheckpoints, SilentDisplay, SilentLog
from dgm_run.trainers.base import RunContext
from dgm_run.trainers.median_stopping import MedianStopping
from dgm_run.trainers.step import Step
from dgm_run.trainers.training_loop import TrainingLoop
from tests.support.tiny import TINY


class CountingStep(Step):
    """Step that changes nothing and notes its calls."""

    def __init__(self):
        self.calls = []

    def __call__(self, index, number):
        self.calls.append((number, len(index)))
        return {"loss": torch.tensor(float(number))}

    def begin_epoch(self, epoch):
        self.calls.append(f"begin {epoch}")

    def end_epoch(self, monitored):
        assert monitored is None or monitored < 0
        self.calls.append(f"end, {'validated' if monitored else 'not validated'}")

    def describe_problems(self, values):
        yield f"trouble (loss {values['train/loss']}): stop"


class Log(SilentLog):
    def __init__(self):
        self.rows = []

    def scalars(self, values, step, epoch):
        self.rows.append((step, epoch, values))


class Display(SilentDisplay):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


@pytest.fixture
def run():
    step, log, display = CountingStep(), Log(), Display()
    x = (torch.rand(25, 1, 8, 8) < 0.5).float()
    split = DataSplit(x, None, lambda v: v)
    cfg = compose(*TINY, "trainer.batch_size=10", "trainer.max_epochs=3", "trainer.eval_every=2")
    context = RunContext(
        seed=0,
        checkpoints=NoCheckpoints(),
        log=log,
        display=display,
        stop=StopRequest(),
        median_stopping=MedianStopping(Path()),
        pruning=None,
        callbacks={},
        folder=Path(),
        pictures=lambda *_: None,
        config={},
        resume=None,
    )
    data = LoadedDataset(instantiate(cfg.dataset), split, split, split)
    model = instantiate(cfg.model)
    summary = TrainingLoop(instantiate(cfg.trainer), model, instantiate(cfg.objective), step, data, context).run()
    return step, log, display, summary


def test_loop_calls_steps_in_order(run):
    step, _, _, summary = run
    epoch = [(0, 10), (1, 10), (2, 5)]
    expected = []
    for k, end in enumerate(("not validated", "validated", "validated")):
        expected += [f"begin {k}", *((number + 3 * k, size) for number, size in epoch), f"end, {end}"]
    assert step.calls == expected
    assert (summary.steps, summary.epochs, summary.stopped_by) == (9, 3, "max_epochs")


def test_loop_logs_mean_terms_of_a_step(run):
    _, log, _, _ = run
    assert [(step, epoch) for step, epoch, _ in log.rows] == [(3, 1), (6, 2), (9, 3)]
    losses = [values["train/loss"] for _, _, values in log.rows]
    assert losses == pytest.approx([(0 * 10 + 1 * 10 + 2 * 5) / 25 + 3 * k for k in range(3)])
    assert "train/learning_rate" not in log.rows[0][2]


def test_warning_of_a_step_is_printed_once(run):
    assert run[2].lines == ["step 3: trouble (loss 0.8): stop"]
