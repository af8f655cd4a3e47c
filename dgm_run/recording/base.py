"""Interfaces of what a run records: its display, its log, the loggers behind it, and its checkpoints.

`Terminal`, `RunLog` and `Checkpoints` serve the main process; `silent.py` has their counterparts for the others.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from torch import Tensor

from dgm_run.recording.logged_run import LoggedRun


class TrainingDisplay(Protocol):
    """Display of the progress of training."""

    def start(self, epochs: int, steps_per_epoch: int, step: int) -> None: ...
    def step(self, step: int) -> None: ...
    def epoch(self, epoch: int, values: Mapping[str, float]) -> None: ...
    def say(self, text: str) -> None: ...


class Display(TrainingDisplay, Protocol):
    """Display of a whole run: see `Terminal`."""

    def open_log(self, folder: Path, session: str | None) -> None: ...
    def log(self, text: str) -> None: ...
    def finish(self) -> None: ...
    def start_estimator(self, name: str) -> None: ...
    def update_estimator(self, done: int, total: int) -> None: ...
    def print_estimates(self, rows: Sequence[Mapping[str, Any]], title: str, notes: Sequence[str]) -> None: ...


class TrainingLog(Protocol):
    """Log of the numbers of a training."""

    def scalars(self, values: Mapping[str, float], step: int, epoch: float) -> None: ...
    def speed(self, values: Mapping[str, float], step: int) -> None: ...
    def sync(self) -> int: ...


class Log(TrainingLog, Protocol):
    """Log of a whole run: see `RunLog`."""

    def picture(self, name: str, picture: np.ndarray, step: int, file: str) -> None: ...
    def text(self, name: str, lines: Sequence[str], step: int, file: str) -> None: ...
    def histogram(self, name: str, values: Tensor, step: int) -> None: ...
    def end(self, is_success: bool) -> None: ...
    def close(self) -> None: ...


class Picture(NamedTuple):
    """Picture as a PNG file.

    Attributes:
        png: content of the file.
        height, width: size in pixels.
        path: path of the file in the run folder.
    """

    png: bytes
    height: int
    width: int
    path: Path


Status = Literal["finished", "failed", "stopped"]
"""State of a run at the end of a session. A stopped run can be resumed."""


class Logger(Protocol):
    """Receiver of what a run logs, beside metrics.jsonl: an entry of the configuration group `logger`.

    A class that derives from it may leave out the methods for what it cannot show. An exception of a method is
    reported once and never ends the run.
    """

    def open(self, run: LoggedRun) -> Mapping[str, int] | None:
        """Opens a new run, or the same run again.

        Returns:
            The last step of each name that the receiver has: `RunLog` then sends what it lacks of metrics.jsonl, and
            sends nothing twice. None if it has all steps up to the checkpoint.
        """

    def scalars(self, values: Mapping[str, float], step: int, epoch: float | None) -> None:
        """Receives named values; without an epoch they depend on the clock."""

    def picture(self, name: str, picture: Picture, step: int) -> None:
        """Receives a picture."""

    def text(self, name: str, lines: Sequence[str], step: int) -> None:
        """Receives lines of text."""

    def histogram(self, name: str, values: np.ndarray, step: int) -> None:
        """Receives values whose distribution matters, of any shape."""

    def flush(self) -> None:
        """Writes what is buffered, before a checkpoint."""

    def close(self, status: Status) -> None:
        """Ends the session."""


class CheckpointStore(Protocol):
    """Store of checkpoints by name: see `Checkpoints`."""

    def save(self, name: str, weights: dict[str, Tensor], state: dict[str, Any]) -> None: ...
    def exists(self, name: str) -> bool: ...
    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any], list[str]]: ...
