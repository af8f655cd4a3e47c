"""When to save a checkpoint, or to stop."""

import time
from collections.abc import Callable
from typing import NamedTuple

from dgm_run.distributed import process_group
from dgm_run.distributed.signals import StopRequest

POLL_SECONDS = 0.3
"""Seconds between two polls in which several processes agree on stopping and saving, each waiting for all others."""


class Due(NamedTuple):
    """Result of a poll, equal in all processes.

    Attributes:
        signum: number of the signal that asks to stop; 0 for none.
        checkpoint: whether a checkpoint is due.
        end: whether the time of the training is over.
    """

    signum: int
    checkpoint: bool
    end: bool


class SaveSchedule:
    """Says after which steps a checkpoint is due, a stop was requested, or the time is over, equally in all processes.

    Args:
        seconds: seconds between two checkpoints.
        stop: true after a signal that asks to stop.
        step: number of steps so far.
        is_time_over: returns whether the time of the training is over.
    """

    def __init__(self, seconds: float, stop: StopRequest, step: int, is_time_over: Callable[[], bool]):
        self.seconds = seconds
        self.stop = stop
        self.is_time_over = is_time_over
        self.restart()
        self.last_poll = (step, self.saved_at)
        self.next_poll_step = step

    def restart(self) -> None:
        """Counts the seconds from now, after a checkpoint."""
        self.saved_at = time.monotonic()

    def poll(self, step: int) -> Due:
        """Returns what is due after this step."""
        if step < self.next_poll_step:
            return Due(0, False, False)
        # read only once: a signal between two reads would skip the checkpoint
        signum = self.stop.signum if self.stop else 0
        now = time.monotonic()
        is_main = process_group.is_main_process()
        is_due = is_main and now - self.saved_at > self.seconds
        is_over = is_main and self.is_time_over()
        if process_group.size() == 1:
            return Due(signum, is_due, is_over)
        last_step, last_time = self.last_poll
        steps_per_second = (step - last_step) / max(now - last_time, 1e-3)
        num_steps = int(POLL_SECONDS * steps_per_second) if is_main else 0
        signum, any_due, any_over, num_steps = process_group.all_reduce_max(
            signum, int(is_due), int(is_over), num_steps
        )  # fmt: skip
        self.last_poll = (step, now)
        self.next_poll_step = step + max(1, num_steps)
        return Due(signum, bool(any_due), bool(any_over))
