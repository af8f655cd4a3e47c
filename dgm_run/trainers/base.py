"""Interface of trainers, their context and their summary."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from torch import nn

from dgm_run.config.schema import TRAINING_GROUPS
from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributed.signals import StopRequest
from dgm_run.objectives.base import Objective
from dgm_run.recording.base import CheckpointStore, TrainingDisplay, TrainingLog
from dgm_run.recording.checkpoint import Snapshot
from dgm_run.trainers.callbacks.base import Callback


@dataclass(frozen=True)
class TrainingSummary:
    """Summary of a training.

    Attributes:
        epochs: number of epochs, including an unfinished one.
        steps: number of optimizer steps.
        seconds: wall-clock time over all sessions of a resumed run.
        examples_per_second: speed of training, without evaluation.
        stopped_by: max_epochs, max_steps, max_hours, patience, median_stopping, pruning, no training, or the reason of
            a callback.
        monitor: validation quantity that chose the best checkpoint; None without training.
        best: best value of that quantity; None without training.
        best_epoch: epochs trained at the best value.
    """

    epochs: int
    steps: int
    seconds: float
    examples_per_second: float
    stopped_by: str
    monitor: str | None
    best: float | None
    best_epoch: int


class StoppingRule(Protocol):
    """Rule that compares a run with the other jobs of its sweep: `MedianStopping`, or the pruner of a search."""

    def should_stop(self, name: str, epoch: int, best: float) -> bool: ...


@dataclass(frozen=True)
class RunContext:
    """Context of one training, made by `runner.run`.

    Attributes:
        seed: seed of the run.
        checkpoints: checkpoints of the run.
        log: log of the run.
        display: shows the progress.
        stop: true after a signal that asks to stop.
        median_stopping: rule that compares the run with other jobs of its sweep.
        callbacks: callbacks by their names.
        folder: folder of the run.
        pruning: rule of a search, asked at every validation; None for a run that is no trial of one with a pruner.
        pictures: draws and logs pictures of the model, at (step, epoch).
        config: configuration, which every checkpoint keeps so that a resumed run can be compared with it.
        resume: checkpoint to resume from, or None.
    """

    seed: int
    checkpoints: CheckpointStore
    log: TrainingLog
    display: TrainingDisplay
    stop: StopRequest
    median_stopping: StoppingRule
    callbacks: Mapping[str, Callback]
    folder: Path
    pruning: StoppingRule | None
    pictures: Callable[[int, int], None]
    config: dict[str, Any]
    resume: Snapshot | None


class Trainer(ABC):
    """Method that minimises an objective.

    Attributes:
        requires: required kinds of other groups, by group.
        uses: groups without which the trainer cannot work.
        augments: whether its steps take the batches of `data.train.augmented`.
    """

    requires: ClassVar[dict[str, type]] = {}
    uses: ClassVar[tuple[str, ...]] = TRAINING_GROUPS
    augments: ClassVar[bool] = False

    def check(  # noqa: B027 - most have nothing to refuse
        self, model: nn.Module, num_examples: int, state: Mapping[str, Any] | None
    ) -> None:
        """Refuses numbers of epochs that the schedule or the checkpoint rules out, before anything is written.

        Args:
            model: model to train.
            num_examples: number of training examples.
            state: state of the checkpoint to resume from; None for a new run.

        Raises:
            ConfigError: the learning-rate schedule ends before the last epoch.
            CheckpointError: a resumed run has trained for longer already, or its schedule ends before the last epoch.
        """

    @abstractmethod
    def fit(self, model: nn.Module, objective: Objective, data: LoadedDataset, context: RunContext) -> TrainingSummary:
        """Trains `model` in place and gives it the weights of the best validation, those of the checkpoint `best`.

        Raises:
            Interrupted: a signal asked to stop; the checkpoint `last` holds everything to resume.
            TrainingError: the loss is not finite, or memory ran out.
        """
