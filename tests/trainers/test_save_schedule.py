import time

from dgm_run.distributed.signals import StopRequest
from dgm_run.trainers.save_schedule import SaveSchedule


def test_checkpoint_is_due_after_the_seconds(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    schedule = SaveSchedule(30.0, StopRequest(), 0, lambda: False)
    assert schedule.poll(1) == (0, False, False)
    now[0] = 31.0
    assert schedule.poll(2) == (0, True, False)
    schedule.restart()
    assert schedule.poll(3) == (0, False, False)


def test_requested_stop_has_its_signal():
    stop = StopRequest()
    stop.signum = 15
    assert SaveSchedule(30.0, stop, 0, lambda: False).poll(1) == (15, False, False)


def test_training_ends_when_its_time_is_over():
    is_over = [False]
    schedule = SaveSchedule(30.0, StopRequest(), 0, lambda: is_over[0])
    assert not schedule.poll(1).end
    is_over[0] = True
    assert schedule.poll(2) == (0, False, True)
