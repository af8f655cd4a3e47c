"""When to save a checkpoint, or to stop."""

import time

from dgm_run.distributed import process_group
from dgm_run.distributed.signals import StopRequest

POLL_SECONDS = 0.3
"""Seconds between two polls in which several processes agree on stopping and saving, each waiting for all others."""


class SaveSchedule:
    """Says after which steps a checkpoint is due or a stop was requested, equally in all processes.

    Args:
        seconds: seconds between two checkpoints.
        stop: true after a signal that asks to stop.
        step: number of steps so far.
    """

    def __init__(self, seconds: float, stop: StopRequest, step: int):
        self.seconds = seconds
        self.stop = stop
        self.restart()
        self.last_poll = (step, self.saved_at)
        self.next_poll_step = step

    def restart(self) -> None:
        """Counts the seconds from now, after a checkpoint."""
        self.saved_at = time.monotonic()

    def poll(self, step: int) -> tuple[int, bool]:
        """Returns the signal that asks to stop after this step, or 0, and whether a checkpoint is due."""
        if step < self.next_poll_step:
            return 0, False
        # read only once: a signal between two reads would skip the checkpoint
        signum = self.stop.signum if self.stop else 0
        now = time.monotonic()
        is_main = process_group.is_main_process()
        is_due = is_main and now - self.saved_at > self.seconds
        if process_group.size() == 1:
            return signum, is_due
        last_step, last_time = self.last_poll
        steps_per_second = (step - last_step) / max(now - last_time, 1e-3)
        num_steps = int(POLL_SECONDS * steps_per_second) if is_main else 0
        signum, any_due, num_steps = process_group.all_reduce_max(signum, int(is_due), num_steps)
        self.last_poll = (step, now)
        self.next_poll_step = step + max(1, num_steps)
        return signum, bool(any_due)
