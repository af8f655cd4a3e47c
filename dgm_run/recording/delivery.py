"""Delivery of what a run logs to one logger: each value once, and no error of the logger ends the run."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dgm_run.recording.base import Logger, Picture, Status
from dgm_run.recording.logged_run import LoggedRun

METRICS = "metrics.jsonl"
"""File in a run folder with all logged values that do not depend on the clock."""


class Delivery:
    """Delivery to one logger.

    Services keep what they received after the last checkpoint of a killed run, and may have lost what they had not
    sent yet. The delivery therefore leaves out the steps that the service has, and sends those that it lacks.

    Args:
        name: name of the logger in the configuration.
        logger: receiver.
        run: run, whose metrics.jsonl ends at the checkpoint.
        warn: receives a line about the first error.
    """

    def __init__(self, name: str, logger: Logger, run: LoggedRun, warn: Callable[[str], None]):
        self.name = name
        self.logger = logger
        self._warn = warn
        self._last_steps: Mapping[str, int] = {}
        self._is_open = True
        self._has_failed = False
        self._is_open = self._guard(lambda: self._open(run))

    def _open(self, run: LoggedRun) -> None:
        last_steps = self.logger.open(run)
        if last_steps is not None:
            self._last_steps = last_steps
            for step, epoch, values in read_metrics(run.folder / METRICS):
                self.scalars(values, step, epoch)

    def scalars(self, values: Mapping[str, float], step: int, epoch: float | None) -> None:
        lacking = {name: value for name, value in values.items() if self._is_lacking(name, step)}
        if lacking:
            self._guard(lambda: self.logger.scalars(lacking, step, epoch))

    def picture(self, name: str, picture: Picture, step: int) -> None:
        if self._is_lacking(name, step):
            self._guard(lambda: self.logger.picture(name, picture, step))

    def text(self, name: str, lines: Sequence[str], step: int) -> None:
        if self._is_lacking(name, step):
            self._guard(lambda: self.logger.text(name, lines, step))

    def histogram(self, name: str, values: np.ndarray, step: int) -> None:
        if self._is_lacking(name, step):
            self._guard(lambda: self.logger.histogram(name, values, step))

    def flush(self) -> None:
        self._guard(self.logger.flush)

    def close(self, status: Status) -> None:
        self._guard(lambda: self.logger.close(status))

    def _is_lacking(self, name: str, step: int) -> bool:
        return step > self._last_steps.get(name, -1)

    def _guard(self, send: Callable[[], Any]) -> bool:
        """Sends, and reports the first error; returns whether it was sent."""
        if not self._is_open:
            return False
        try:
            send()
            return True
        except Exception as error:  # a service raises errors of any kind
            if not self._has_failed:
                lines = str(error).strip().splitlines() or [""]
                self._warn(f"logger.{self.name} failed ({type(error).__name__}: {lines[0]}); the run continues")
            self._has_failed = True
            return False


def read_metrics(path: Path) -> Iterator[tuple[int, float, dict[str, float]]]:
    """Yields step, epoch and values of each group of lines that were logged together."""
    key: tuple[int, float] | None = None
    values: dict[str, float] = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if key and key != (row["step"], row["epoch"]):
                yield *key, values
                values = {}
            key = (row["step"], row["epoch"])
            values[row["name"]] = row["value"]
    if key:
        yield *key, values
