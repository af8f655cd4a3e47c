"""Contract of callbacks, and the training that they see."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from dgm_run.data.dataset import LoadedDataset
from dgm_run.recording.base import TrainingDisplay, TrainingLog


@dataclass
class Training:
    """Training as its callbacks see it.

    Attributes:
        model: model in training. A callback leaves it as it finds it.
        data: training and validation data.
        log: log of the run; values for it must not depend on the clock.
        display: `display.say(text)` prints a line.
        folder: folder of the run.
        seed: seed of the run.
        monitor: name of the validation quantity that chooses the best weights.
        steps_per_epoch: number of steps of an epoch.
        step: number of steps so far.
        stop_reason: reason of a callback to stop; None to go on.
    """

    model: nn.Module
    data: LoadedDataset
    log: TrainingLog
    display: TrainingDisplay
    folder: Path
    seed: int
    monitor: str
    steps_per_epoch: int
    step: int
    stop_reason: str | None = None

    def stop(self, reason: str) -> None:
        """Ends the training after this epoch; `reason` is its `stopped_by` in results.json."""
        self.stop_reason = reason


class Callback:
    """Code that runs at certain points of a training: an entry of the configuration group `callbacks`.

    Only the main process calls it. Layers that are trained one after another call it for each of their trainings.
    Random numbers of a run are keyed by its seed and its step, so a callback may draw others without changing the run.
    """

    def on_start(self, training: Training) -> None:
        """Called before the first step of a session: of a new run, or of a resumed one."""

    def on_step(self, training: Training) -> None:
        """Called after each step. Reading a value of the device here makes the device wait."""

    def on_epoch(self, training: Training, values: Mapping[str, float]) -> None:
        """Called after each epoch, with the values that it logged."""

    def on_validation(self, training: Training, values: Mapping[str, float]) -> None:
        """Called after each validation, with its values. The model has the weights that were evaluated."""

    def on_end(self, training: Training) -> None:
        """Called after the last step of a training that ends, not of one that a signal stops."""

    def state_dict(self) -> dict[str, Any]:
        """Returns the state that a resumed run restores: numbers, texts, tensors, lists and dicts."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a state of `state_dict`, before `on_start`."""
