"""Time of a training."""

import time
from typing import Any


class TrainingClock:
    """Time of a training over all sessions of a resumed run, and that of its steps without evaluations.

    Attributes:
        seconds: seconds spent in training at the last checkpoint.
        step_seconds: seconds spent in steps.
        num_examples: number of examples trained on.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.step_seconds = 0.0
        self.num_examples = 0
        self.start()

    def start(self) -> None:
        """Starts a session."""
        self.updated_at = time.monotonic()
        self.start_steps()

    def start_steps(self) -> None:
        """Starts to time steps, after work that is none."""
        self.steps_started_at = time.perf_counter()
        self.examples_at_start = self.num_examples

    def record_steps(self) -> float:
        """Adds the time since the last record to that of steps; returns the examples per second in it."""
        num_examples = self.num_examples - self.examples_at_start
        seconds = time.perf_counter() - self.steps_started_at
        self.step_seconds += seconds
        self.start_steps()
        return num_examples / seconds

    @property
    def total_seconds(self) -> float:
        """Seconds spent in training up to now."""
        return self.seconds + time.monotonic() - self.updated_at

    @property
    def examples_per_second(self) -> float:
        """Speed of the steps."""
        return self.num_examples / self.step_seconds if self.step_seconds else 0.0

    def state_dict(self) -> dict[str, Any]:
        """Returns the times up to now."""
        self.seconds = self.total_seconds
        self.updated_at = time.monotonic()
        return {name: getattr(self, name) for name in ("seconds", "step_seconds", "num_examples")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.start()
