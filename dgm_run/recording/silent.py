"""Display, log and checkpoints of the processes that record nothing, because the main process does."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor


class SilentDisplay:
    """Display that shows and logs nothing."""

    def start(self, epochs: int, steps_per_epoch: int, step: int) -> None:
        pass

    def step(self, step: int) -> None:
        pass

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def open_log(self, folder: Path, session: str | None) -> None:
        pass

    def log(self, text: str) -> None:
        pass

    def finish(self) -> None:
        pass

    def start_estimator(self, name: str) -> None:
        pass

    def update_estimator(self, done: int, total: int) -> None:
        pass

    def print_estimates(self, rows: Sequence[Mapping[str, Any]], title: str, notes: Sequence[str]) -> None:
        pass


class SilentLog:
    """Log that keeps nothing."""

    def scalars(self, values: Mapping[str, float], step: int, epoch: float) -> None:
        pass

    def speed(self, values: Mapping[str, float], step: int) -> None:
        pass

    def picture(self, name: str, picture: np.ndarray, step: int, file: str) -> None:
        pass

    def text(self, name: str, lines: Sequence[str], step: int, file: str) -> None:
        pass

    def histogram(self, name: str, values: Tensor, step: int) -> None:
        pass

    def end(self, is_success: bool) -> None:
        pass

    def sync(self) -> int:
        return 0

    def close(self) -> None:
        pass


class NoCheckpoints:
    """Store that keeps no weights; the main process reads them for all."""

    def save(self, name: str, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
        pass

    def exists(self, name: str) -> bool:
        return False

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any], list[str]]:
        raise AssertionError("only the main process loads checkpoints")
