import time

import pytest

from dgm_run.trainers.training_clock import TrainingClock


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    for name in ("monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: now[0])
    clock = TrainingClock()
    clock.wait = lambda seconds: now.__setitem__(0, now[0] + seconds)
    return clock


def test_evaluation_is_no_step(clock):
    clock.num_examples += 30
    clock.wait(2)
    assert clock.record_steps() == 15
    clock.wait(50)
    clock.start_steps()
    clock.num_examples += 10
    clock.wait(2)
    assert clock.record_steps() == 5
    assert clock.step_seconds == 4
    assert clock.examples_per_second == 10
    assert clock.state_dict()["seconds"] == 54


def test_sessions_add_up(clock):
    clock.num_examples += 10
    clock.wait(5)
    clock.record_steps()
    state = clock.state_dict()
    resumed = TrainingClock()
    clock.wait(1000)
    resumed.load_state_dict(state)
    clock.wait(3)
    assert resumed.state_dict() == {"seconds": 8, "step_seconds": 5, "num_examples": 10}
    assert resumed.record_steps() == 0
