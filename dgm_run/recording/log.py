"""Logs of a run: metrics.jsonl, pictures, run.log, and the loggers of the configuration.

metrics.jsonl is the source of truth, because one damaged byte loses the rest of an event file, and a service may lose
steps. It holds nothing that depends on the clock. An interrupted run therefore writes the same lines as a run that
never stopped.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dgm_run.recording.base import Logger, Picture, Status
from dgm_run.recording.delivery import METRICS, Delivery
from dgm_run.recording.image_grid import encode_png, write_png
from dgm_run.recording.logged_run import LoggedRun


class RunLog:
    """Log of a run in its folder and by its loggers. A full disk is reported once and never ends the run.

    Args:
        run: run to log.
        loggers: loggers by their names.
        warn: receives lines for the user.
        offset: length of metrics.jsonl at the checkpoint, in bytes; later lines are cut.
    """

    def __init__(self, run: LoggedRun, loggers: Mapping[str, Logger], warn: Callable[[str], None], offset: int = 0):
        self.folder = run.folder
        self._warn = warn
        self._failed = False
        self._status: Status = "stopped"
        self._metrics = open(self.folder / METRICS, "ab")  # noqa: SIM115 - closed in close()
        self._metrics.truncate(self._find_kept_length(offset))
        self._deliveries = [Delivery(name, logger, run, warn) for name, logger in loggers.items()]

    def _find_kept_length(self, offset: int) -> int:
        """Returns the bytes of metrics.jsonl to keep: `offset`, or the whole lines of a damaged file."""
        path = self.folder / METRICS
        kept = path.read_bytes()[:offset]
        if len(kept) == offset and kept[-1:] in (b"", b"\n"):
            return offset
        self._warn(f"{path} is damaged: it has lost metrics that were logged before the checkpoint")
        return kept.rfind(b"\n") + 1

    def scalars(self, values: Mapping[str, float], step: int, epoch: float) -> None:
        """Logs named values to metrics.jsonl and the loggers."""
        lines = [json.dumps({"step": step, "epoch": epoch, "name": k, "value": v}) for k, v in values.items()]
        self._guard(lambda: self._metrics.write("".join(f"{line}\n" for line in lines).encode()))
        for delivery in self._deliveries:
            delivery.scalars(values, step, epoch)

    def speed(self, values: Mapping[str, float], step: int) -> None:
        """Logs values that depend on the clock, to the loggers alone."""
        for delivery in self._deliveries:
            delivery.scalars(values, step, None)

    def picture(self, name: str, picture: np.ndarray, step: int, file: str) -> None:
        """Logs a picture to the file NAME/FILE of the run folder, and to the loggers."""
        height, width = picture.shape[:2]
        encoded = Picture(encode_png(picture), height, width, self.folder / name / file)
        self._guard(lambda: write_png(encoded.png, encoded.path))
        for delivery in self._deliveries:
            delivery.picture(name, encoded, step)

    def text(self, name: str, lines: Sequence[str], step: int, file: str) -> None:
        """Logs lines to the file NAME/FILE of the run folder, and to the loggers."""
        self._guard(lambda: write_lines(lines, self.folder / name / file))
        for delivery in self._deliveries:
            delivery.text(name, lines, step)

    def histogram(self, name: str, values: Tensor, step: int) -> None:
        """Logs the distribution of values to the loggers."""
        if self._deliveries:
            array = values.detach().float().cpu().numpy()
            for delivery in self._deliveries:
                delivery.histogram(name, array, step)

    def end(self, is_success: bool) -> None:
        """Records success or failure. A log that is closed without it is that of a stopped run."""
        self._status = "finished" if is_success else "failed"

    def sync(self) -> int:
        """Syncs metrics.jsonl to the disk, and returns its length in bytes for the checkpoint."""
        self._guard(self._metrics.flush)
        self._guard(lambda: os.fsync(self._metrics.fileno()))
        for delivery in self._deliveries:
            delivery.flush()
        return os.path.getsize(self.folder / METRICS)

    def close(self) -> None:
        self._guard(self._metrics.close)
        for delivery in self._deliveries:
            delivery.close(self._status)

    def _guard(self, write: Callable[[], Any]) -> None:
        try:
            write()
        except OSError as error:
            if not self._failed:
                self._warn(
                    f"cannot write to {self.folder} ({error.strerror or error}); training continues without logs"
                )
            self._failed = True


class TextLog:
    """Log of all messages to the user, run.log: plain lines in UTF-8.

    A file that cannot be written is reported once and never ends the run.

    Args:
        path: path of the file.
        warn: receives a line for the user.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]):
        self.path = path
        self._warn = warn
        self._failed = False

    def write(self, text: str) -> None:
        """Appends lines. Each call opens the file, so that a moved or removed file is made again."""
        try:
            with open(self.path, "ab", buffering=0) as file:
                file.write(f"{text.rstrip()}\n".encode("utf-8", "replace"))
        except OSError as error:
            if not self._failed:
                self._failed = True
                self._warn(f"cannot write to {self.path} ({error.strerror or error}); the run continues")


def write_lines(lines: Sequence[str], path: Path) -> None:
    """Writes lines to a file in UTF-8, and makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
