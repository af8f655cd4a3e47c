"""What a trainer is given, and what it tells."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributed.signals import StopRequest
from dgm_run.objectives.base import Objective


@dataclass(frozen=True)
class TrainingSummary:
    """How training went.

    Attributes:
        epochs: begun or finished.
        steps: optimizer steps.
        seconds: of wall-clock time, over all sessions of a resumed run.
        examples_per_second: while stepping, without evaluation.
        stopped_by: max_epochs, max_steps, patience or hopeless.
        monitor: the validation quantity that chose the best checkpoint.
        best: its value there.
        best_epoch: the epochs trained by then.
    """

    epochs: int
    steps: int
    seconds: float
    examples_per_second: float
    stopped_by: str
    monitor: str
    best: float
    best_epoch: int


class Display(Protocol):
    """Shows a person how it goes."""

    def start(self, epochs: int, steps_per_epoch: int, step: int) -> None: ...
    def step(self, step: int) -> None: ...
    def epoch(self, epoch: int, values: Mapping[str, float]) -> None: ...
    def say(self, text: str) -> None: ...


class CheckpointStore(Protocol):
    """Keeps weights and what belongs to them, by name: see `Checkpoints`."""

    def save(self, name: str, weights: dict[str, Tensor], state: dict[str, Any]) -> None: ...
    def exists(self, name: str) -> bool: ...
    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any], list[str]]: ...


class Logger(Protocol):
    """Writes the course of a training: see `RunLog`."""

    def scalars(self, values: Mapping[str, float], step: int, epoch: float) -> None: ...
    def speed(self, values: Mapping[str, float], step: int) -> None: ...
    def sync(self) -> int: ...


class Rivals(Protocol):
    """Knows the other jobs of a sweep: see `MedianStopping`."""

    def should_stop(self, name: str, epoch: int, best: float) -> bool: ...


@dataclass(frozen=True)
class RunContext:
    """The surroundings of one training, made by `runner.run`.

    Attributes:
        seed: of the run.
        checkpoints: of the run folder.
        log: of the run folder.
        display: tells the user how it goes.
        stop: true once a signal asks to stop.
        rivals: the other jobs of the sweep that this run is one of.
        pictures: draws and logs what can be seen of the model, at (step, epoch).
        config: the configuration, kept in every checkpoint so that a resumed run can be held against it.
        resume: a checkpoint to go on from, as (weights, state), or None.
    """

    seed: int
    checkpoints: CheckpointStore
    log: Logger
    display: Display
    stop: StopRequest
    rivals: Rivals
    pictures: Callable[[int, int], None]
    config: dict[str, Any]
    resume: tuple[dict[str, Tensor], dict[str, Any]] | None


class Trainer(ABC):
    """How an objective is minimised.

    Attributes:
        requires: the kinds of the other groups it goes with.
    """

    requires: ClassVar[dict[str, type]] = {}

    def check(  # noqa: B027 - most have nothing to refuse
        self, model: nn.Module, num_examples: int, state: Mapping[str, Any] | None
    ) -> None:
        """Refuses, before anything is written, numbers of epochs that cannot be trained.

        Args:
            model: that `fit` is to train.
            num_examples: N, in training.
            state: of the checkpoint to go on from; None for a fresh run.

        Raises:
            ConfigError: the learning rate reaches its end before the last epoch.
            CheckpointError: the same of a resumed run, or it has trained for longer already.
        """

    @abstractmethod
    def fit(self, model: nn.Module, objective: Objective, data: LoadedDataset, session: RunContext) -> TrainingSummary:
        """Trains `model` in place and leaves it with its best weights, which the checkpoint `best` holds as well.

        Raises:
            Interrupted: a signal asked to stop; the checkpoint `last` holds everything to go on.
            TrainingError: the loss is not finite, or memory ran out.
        """
