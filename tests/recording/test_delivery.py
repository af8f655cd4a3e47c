import json

import pytest

from dgm_run.recording.base import Logger
from dgm_run.recording.delivery import Delivery, read_metrics
from dgm_run.recording.logged_run import LoggedRun


class Service(Logger):
    """Service that has some steps of a run already, and fails at some steps."""

    def __init__(self, last_steps, failing=()):
        self.last_steps = last_steps
        self.failing = failing
        self.received = []

    def open(self, run):
        if "open" in self.failing:
            raise ConnectionError("no route to host")
        return self.last_steps

    def scalars(self, values, step, epoch):
        if step in self.failing:
            raise TimeoutError("no answer\nafter 3 s")
        self.received += [(name, step, value) for name, value in values.items()]

    def close(self, status):
        self.received.append(status)


@pytest.fixture
def run(tmp_path):
    """Run whose metrics end at step 3."""
    rows = [{"step": step, "epoch": step, "name": name, "value": float(step)} for step in (1, 2, 3) for name in "ab"]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return LoggedRun(tmp_path, {}, 3)


def deliver(service, run, said=None):
    delivery = Delivery("service", service, run, (said or []).append if said is None else said.append)
    for step in (4, 5):
        delivery.scalars({"a": float(step), "b": float(step)}, step, step)
    return delivery


ALL = [(name, step, float(step)) for step in (1, 2, 3, 4, 5) for name in "ab"]


def test_lost_steps_are_sent_again(run):
    service = Service({})
    deliver(service, run)
    assert service.received == ALL


def test_received_steps_are_not_sent_twice(run):
    service = Service({"a": 5, "b": 2})
    deliver(service, run)
    assert service.received == [each for each in ALL if each[0] == "b" and each[1] > 2]


def test_receiver_without_gaps_gets_new_steps(run):
    service = Service(None)
    deliver(service, run)
    assert service.received == ALL[6:]


def test_errors_are_said_once_and_lose_their_step(run):
    said = []
    service = Service({}, failing=(2, 4))
    deliver(service, run, said).close("finished")
    assert service.received == [*(each for each in ALL if each[1] not in (2, 4)), "finished"]
    assert said == ["logger.service failed (TimeoutError: no answer); the run continues"]


def test_service_that_does_not_open_gets_nothing(run):
    said = []
    service = Service({}, failing=("open",))
    deliver(service, run, said).close("finished")
    assert service.received == []
    assert said == ["logger.service failed (ConnectionError: no route to host); the run continues"]


def test_lines_of_a_step_are_read_together(run):
    assert list(read_metrics(run.folder / "metrics.jsonl")) == [
        (step, step, {"a": float(step), "b": float(step)}) for step in (1, 2, 3)
    ]
