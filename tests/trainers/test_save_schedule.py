import time

from dgm_run.distributed.signals import StopRequest
from dgm_run.trainers.save_schedule import SaveSchedule


def test_checkpoint_is_due_after_the_seconds(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    schedule = SaveSchedule(30.0, StopRequest(), 0)
    assert schedule.poll(1) == (0, False)
    now[0] = 31.0
    assert schedule.poll(2) == (0, True)
    schedule.restart()
    assert schedule.poll(3) == (0, False)


def test_requested_stop_has_its_signal():
    stop = StopRequest()
    stop.signum = 15
    assert SaveSchedule(30.0, stop, 0).poll(1) == (15, False)
