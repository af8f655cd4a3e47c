"""Layer by layer, each a machine of its own on what the finished ones below make of the data, then all together.

Source: G. Hinton, S. Osindero, Y.-W. Teh, A fast learning algorithm for deep belief nets, 2006.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from dgm_run import rng
from dgm_run.data.dataset import LoadedDataset
from dgm_run.models.layered import LayeredModel
from dgm_run.objectives.base import Objective
from dgm_run.objectives.energy.base import EnergyObjective
from dgm_run.trainers.base import Logger, Rivals, RunContext, TrainingSummary
from dgm_run.trainers.gradient import GradientTrainer, Training
from dgm_run.trainers.initialize import initialize
from dgm_run.trainers.schedules import refuse_outlived


@dataclass(frozen=True)
class Pretraining:
    """How each layer is trained alone.

    Args:
        objective: of every layer.
        optimizer: parameters -> torch optimizer.
        schedule: optimizer -> torch learning-rate schedule, advanced once an epoch.
        max_epochs: of each layer.
        eval_every: epochs between two looks at the validation set.
        lr_ratio: learning rate of a layer over that of the one below.

    Raises:
        ValueError: a number is not positive.
    """

    objective: Objective
    optimizer: Callable
    schedule: Callable
    max_epochs: int
    eval_every: int
    lr_ratio: float

    def __post_init__(self):
        if min(self.max_epochs, self.eval_every) < 1 or self.lr_ratio <= 0:
            raise ValueError("max_epochs, eval_every and lr_ratio must be positive")

    def optimizer_of(self, index: int, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """Of the layer `index`, from 0."""
        optimizer = self.optimizer(parameters)
        for group in optimizer.param_groups:
            group["lr"] *= self.lr_ratio**index
        return optimizer


@dataclass(frozen=True)
class EnergyPretraining(Pretraining):
    """Of layers that are Boltzmann machines."""

    objective: EnergyObjective


@dataclass(frozen=True)
class LayerwiseTrainer(GradientTrainer):
    """Trains every layer for itself, from below, and then, if so set, the whole as `GradientTrainer` does.

    The checkpoint `last` holds the whole, the layer in training and everything that an exact resume needs;
    `best_of_layer_N` what validation chose of a layer.

    Args:
        pretraining: how each layer is trained.
        joint: whether the whole is trained afterwards.
    """

    pretraining: Pretraining
    joint: bool

    requires = {"model": LayeredModel}

    def check(self, model: nn.Module, num_examples: int, state: Mapping[str, Any] | None) -> None:
        assert isinstance(model, LayeredModel)
        alone, key = self.pretraining, "trainer.pretraining"
        refuse_outlived(alone.schedule, alone.max_epochs, f"{key}.schedule", key, bool(state))
        if self.joint:
            step = state["step"] if state and state["layer"] == model.num_stages else 0
            self.check_epochs(num_examples, step, bool(state))

    def fit(self, model: nn.Module, objective: Objective, data: LoadedDataset, session: RunContext) -> TrainingSummary:
        assert isinstance(model, LayeredModel)
        course = Course(model, session)
        stages = [f"layer {index + 1}: {self.pretraining.max_epochs}" for index in range(model.num_stages)]
        course.announce(
            f"epochs: {', '.join([*stages, *([f'{model.whole}: {self.max_epochs}'] if self.joint else [])])}"
        )
        for index in range(course.first, model.num_stages):
            self._fit_layer(course, index, data)
        if self.joint:
            course.announce(model.whole)
            course.ended(super().fit(model, objective, data, course.session(model)))
        else:
            course.keep_without_joint_training(data)
        return course.summary()

    def _fit_layer(self, course: "Course", index: int, data: LoadedDataset) -> None:
        rng.reseed(course.outer.seed, "layer", index)
        stage = course.model.stage(index)
        train, valid, test = (split.map(stage.prepare) for split in (data.train, data.valid, data.test))
        initialize(stage.model, train)
        of, parameters = course.model.num_stages, sum(parameter.numel() for parameter in stage.model.parameters())
        name = type(stage.model).__name__
        course.announce(f"layer {index + 1} of {of}: {name} with {parameters:,} parameters")

        alone = self.pretraining
        settings = replace(
            self,
            optimizer=partial(alone.optimizer_of, index),
            schedule=alone.schedule,
            max_epochs=alone.max_epochs,
            eval_every=alone.eval_every,
            max_steps=None,
            patience=None,
            median_stopping_after=None,
            ema_decay=None,
            image_every_epochs=None,
        )
        data = LoadedDataset(data.dataset, train, valid, test)
        session, key = course.session(stage.model), "trainer.pretraining.optimizer"
        summary = Training(settings, stage.model, alone.objective, data, session, key).run()
        stage.finish()
        course.ended(summary)


class Course:
    """Trainings that follow one another in one run: its checkpoints, its log and how it went.

    Attributes:
        model: the whole.
        outer: the session of the run.
        first: layer to begin with; beyond the last when only the whole is left.
        ended_with: the summaries of the trainings that are over.
    """

    def __init__(self, model: LayeredModel, outer: RunContext):
        self.model, self.outer, self.first = model, outer, 0
        self.ended_with: list[TrainingSummary] = []
        self.resume = outer.resume
        if self.resume:
            weights, state = self.resume
            model.load_state_dict(weights)
            self.first = state["layer"]
            self.ended_with = [TrainingSummary(**summary) for summary in state["ended_with"]]

    @property
    def layer(self) -> int:
        """The one in training, from 0."""
        return len(self.ended_with)

    @property
    def steps(self) -> int:
        """Of the trainings that are over."""
        return sum(summary.steps for summary in self.ended_with)

    @property
    def epochs(self) -> int:
        return sum(summary.epochs for summary in self.ended_with)

    def announce(self, text: str) -> None:
        self.outer.display.say(text)

    def session(self, part: nn.Module) -> RunContext:
        """The surroundings of the next training: of a layer, or of the whole."""
        steps, epochs, resume = self.steps, self.epochs, self.resume
        self.resume = None  # it is for the training that was stopped alone
        if resume and part is not self.model:
            resume = (resume[1]["layer_weights"], resume[1])
        name = "" if part is self.model else f"layer_{self.layer + 1}/"
        return replace(
            self.outer,
            checkpoints=_PartCheckpoints(self, part),
            log=_PartLog(self.outer.log, name, steps, epochs),
            rivals=_LaterRivals(self.outer.rivals, epochs),
            pictures=lambda step, epoch: self.outer.pictures(steps + step, epochs + epoch),
            resume=resume,
        )

    def ended(self, summary: TrainingSummary) -> None:
        if self.layer < self.model.num_stages:
            summary = replace(summary, monitor=f"layer_{self.layer + 1}/{summary.monitor}")
        self.ended_with.append(summary)
        if self.layer <= self.model.num_stages:
            self.outer.pictures(self.steps, self.epochs)

    def record(self, step: int) -> dict[str, Any]:
        """What a checkpoint holds beside the training at `step`."""
        ended = [asdict(summary) for summary in self.ended_with]
        return {"layer": self.layer, "ended_with": ended, "logged_step": self.steps + step}

    def keep_without_joint_training(self, data: LoadedDataset) -> None:
        """Writes the checkpoints of the whole as the layers have left it."""
        record = {"config": self.outer.config, "data": data.dataset.protocol}
        record |= {"metrics_offset": self.outer.log.sync()} | self.record(0)
        self.outer.checkpoints.save("best", self.model.state_dict(), {"epoch": self.epochs})
        self.outer.checkpoints.save("last", self.model.state_dict(), record)

    def summary(self) -> TrainingSummary:
        """Of all trainings, with what chose the last checkpoint."""
        stepping = sum(summary.steps / summary.examples_per_second for summary in self.ended_with)
        return replace(
            self.ended_with[-1],
            epochs=self.epochs,
            steps=self.steps,
            seconds=sum(summary.seconds for summary in self.ended_with),
            examples_per_second=self.steps / stepping,
            best_epoch=self.epochs - self.ended_with[-1].epochs + self.ended_with[-1].best_epoch,
        )


class _PartCheckpoints:
    """Keeps, with a layer, the whole that it belongs to."""

    def __init__(self, course: Course, part: nn.Module):
        self.course, self.checkpoints = course, course.outer.checkpoints
        self.is_layer = part is not course.model

    def _name(self, name: str) -> str:
        return f"best_of_layer_{self.course.layer + 1}" if name == "best" and self.is_layer else name

    def save(self, name: str, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
        if name == "last":
            state = state | self.course.record(state["step"]) | {"layer_weights": weights if self.is_layer else None}
            weights = self.course.model.state_dict()
        self.checkpoints.save(self._name(name), weights, state)

    def exists(self, name: str) -> bool:
        return self.checkpoints.exists(self._name(name))

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any], list[str]]:
        return self.checkpoints.load(self._name(name))


class _LaterRivals:
    """The others, whose epochs are counted from the beginning of all trainings."""

    def __init__(self, rivals: Rivals, first_epoch: int):
        self.rivals, self.first_epoch = rivals, first_epoch

    def should_stop(self, name: str, epoch: int, best: float) -> bool:
        return self.rivals.should_stop(name, self.first_epoch + epoch, best)


class _PartLog:
    """Logs a training under a name of its own, its steps after those of the ones before."""

    def __init__(self, log: Logger, name: str, first_step: int, first_epoch: int):
        self.log, self.name, self.first_step, self.first_epoch = log, name, first_step, first_epoch

    def _named(self, values: Mapping[str, float]) -> dict[str, float]:
        return {f"{self.name}{name}": value for name, value in values.items()}

    def scalars(self, values: Mapping[str, float], step: int, epoch: float) -> None:
        self.log.scalars(self._named(values), self.first_step + step, self.first_epoch + epoch)

    def speed(self, values: Mapping[str, float], step: int) -> None:
        self.log.speed(self._named(values), self.first_step + step)

    def sync(self) -> int:
        return self.log.sync()
