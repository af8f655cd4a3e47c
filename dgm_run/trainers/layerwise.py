"""Layerwise training: each layer on the representation of the layers below, then all layers jointly.

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
from dgm_run.recording.base import TrainingLog
from dgm_run.trainers.base import RunContext, StoppingRule, TrainingSummary
from dgm_run.trainers.gradient import GradientTrainer
from dgm_run.trainers.initialize import initialize
from dgm_run.trainers.schedules import refuse_past_end
from dgm_run.trainers.training_loop import TrainingLoop


@dataclass(frozen=True)
class Pretraining:
    """Settings of the training of single layers.

    Args:
        objective: objective of every layer.
        optimizer: parameters -> torch optimizer.
        schedule: optimizer -> torch learning-rate schedule, advanced once an epoch.
        max_epochs: epochs of each layer.
        eval_every: epochs between two evaluations on the validation set.
        lr_ratio: learning rate of a layer, relative to that of the layer below.

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

    def make_optimizer(self, index: int, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """Makes the optimizer of the layer `index`, from 0."""
        optimizer = self.optimizer(parameters)
        for group in optimizer.param_groups:
            group["lr"] *= self.lr_ratio**index
        return optimizer


@dataclass(frozen=True)
class EnergyPretraining(Pretraining):
    """Settings of the training of layers that are Boltzmann machines."""

    objective: EnergyObjective


@dataclass(frozen=True)
class LayerwiseTrainer(GradientTrainer):
    """Trainer of single layers, from below, and then optionally of the whole model, as `GradientTrainer` does.

    The checkpoint `last` holds the whole model, the layer in training, and everything for an exact resume.
    `best_of_layer_N` holds the best weights of a layer.

    Args:
        pretraining: settings of the training of layers.
        joint: whether the whole model is trained afterwards.
    """

    pretraining: Pretraining
    joint: bool

    requires = {"model": LayeredModel}

    def check(self, model: nn.Module, num_examples: int, state: Mapping[str, Any] | None) -> None:
        assert isinstance(model, LayeredModel)
        alone = self.pretraining
        key = "trainer.pretraining"
        refuse_past_end(alone.schedule, alone.max_epochs, f"{key}.schedule", key, bool(state))
        if self.joint:
            step = state["step"] if state and state["layer"] == model.num_stages else 0
            self.check_epochs(num_examples, step, bool(state))

    def fit(self, model: nn.Module, objective: Objective, data: LoadedDataset, context: RunContext) -> TrainingSummary:
        assert isinstance(model, LayeredModel)
        course = Course(model, context)
        stages = [f"layer {index + 1}: {self.pretraining.max_epochs}" for index in range(model.num_stages)]
        course.announce(
            f"epochs: {', '.join([*stages, *([f'{model.whole}: {self.max_epochs}'] if self.joint else [])])}"
        )
        for index in range(course.first, model.num_stages):
            self._fit_layer(course, index, data)
        if self.joint:
            course.announce(model.whole)
            course.record_end(super().fit(model, objective, data, course.context(model)))
        else:
            course.keep_without_joint_training(data)
        return course.summary()

    def _fit_layer(self, course: "Course", index: int, data: LoadedDataset) -> None:
        rng.reseed(course.outer.seed, "layer", index)
        stage = course.model.build_stage(index)
        train, valid, test = (split.map(stage.prepare) for split in (data.train, data.valid, data.test))
        initialize(stage.model, train)
        of = course.model.num_stages
        parameters = sum(parameter.numel() for parameter in stage.model.parameters())
        name = type(stage.model).__name__
        course.announce(f"layer {index + 1} of {of}: {name} with {parameters:,} parameters")

        alone = self.pretraining
        settings = replace(
            self,
            optimizer=partial(alone.make_optimizer, index),
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
        context = course.context(stage.model)
        key = "trainer.pretraining.optimizer"
        summary = TrainingLoop(settings, stage.model, alone.objective, data, context, key).run()
        stage.finish()
        course.record_end(summary)


class Course:
    """Sequence of trainings in one run, with common checkpoints and a common log.

    Attributes:
        model: whole model.
        outer: context of the run.
        first: first layer to train; beyond the last layer if only joint training is left.
        ended_with: summaries of the finished trainings.
    """

    def __init__(self, model: LayeredModel, outer: RunContext):
        self.model = model
        self.outer = outer
        self.first = 0
        self.ended_with: list[TrainingSummary] = []
        self.resume = outer.resume
        if self.resume:
            weights, state = self.resume
            model.load_state_dict(weights)
            self.first = state["layer"]
            self.ended_with = [TrainingSummary(**summary) for summary in state["ended_with"]]

    @property
    def layer(self) -> int:
        """Number of the layer in training, from 0."""
        return len(self.ended_with)

    @property
    def steps(self) -> int:
        """Number of steps of the finished trainings."""
        return sum(summary.steps for summary in self.ended_with)

    @property
    def epochs(self) -> int:
        return sum(summary.epochs for summary in self.ended_with)

    def announce(self, text: str) -> None:
        self.outer.display.say(text)

    def context(self, part: nn.Module) -> RunContext:
        """Makes the context of the next training: of a layer, or of the whole model."""
        steps = self.steps
        epochs = self.epochs
        resume = self.resume
        self.resume = None  # only the interrupted training resumes
        if resume and part is not self.model:
            resume = (resume[1]["layer_weights"], resume[1])
        name = "" if part is self.model else f"layer_{self.layer + 1}/"
        return replace(
            self.outer,
            checkpoints=_PartCheckpoints(self, part),
            log=_PartLog(self.outer.log, name, steps, epochs),
            median_stopping=_ShiftedMedianStopping(self.outer.median_stopping, epochs),
            pictures=lambda step, epoch: self.outer.pictures(steps + step, epochs + epoch),
            resume=resume,
        )

    def record_end(self, summary: TrainingSummary) -> None:
        """Records the summary of a finished training, and draws pictures."""
        if self.layer < self.model.num_stages:
            summary = replace(summary, monitor=f"layer_{self.layer + 1}/{summary.monitor}")
        self.ended_with.append(summary)
        if self.layer <= self.model.num_stages:
            self.outer.pictures(self.steps, self.epochs)

    def record(self, step: int) -> dict[str, Any]:
        """Returns the entries of a checkpoint at `step` that describe the sequence of trainings."""
        ended = [asdict(summary) for summary in self.ended_with]
        return {"layer": self.layer, "ended_with": ended, "logged_step": self.steps + step}

    def keep_without_joint_training(self, data: LoadedDataset) -> None:
        """Writes the checkpoints of the whole model after its layers were trained."""
        record = {"config": self.outer.config, "data": data.dataset.protocol}
        record |= {"metrics_offset": self.outer.log.sync()} | self.record(0)
        self.outer.checkpoints.save("best", self.model.state_dict(), {"epoch": self.epochs})
        self.outer.checkpoints.save("last", self.model.state_dict(), record)

    def summary(self) -> TrainingSummary:
        """Summarises all trainings, with the monitored quantity of the last one."""
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
    """Checkpoints of a layer, which hold the whole model as well."""

    def __init__(self, course: Course, part: nn.Module):
        self.course = course
        self.checkpoints = course.outer.checkpoints
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


class _ShiftedMedianStopping:
    """Median stopping with epochs counted from the start of the first training."""

    def __init__(self, median_stopping: StoppingRule, first_epoch: int):
        self.median_stopping = median_stopping
        self.first_epoch = first_epoch

    def should_stop(self, name: str, epoch: int, best: float) -> bool:
        return self.median_stopping.should_stop(name, self.first_epoch + epoch, best)


class _PartLog:
    """Log of one training under its own name, with steps counted after those of former trainings."""

    def __init__(self, log: TrainingLog, name: str, first_step: int, first_epoch: int):
        self.log = log
        self.name = name
        self.first_step = first_step
        self.first_epoch = first_epoch

    def _prefix_names(self, values: Mapping[str, float]) -> dict[str, float]:
        return {f"{self.name}{name}": value for name, value in values.items()}

    def scalars(self, values: Mapping[str, float], step: int, epoch: float) -> None:
        self.log.scalars(self._prefix_names(values), self.first_step + step, self.first_epoch + epoch)

    def speed(self, values: Mapping[str, float], step: int) -> None:
        self.log.speed(self._prefix_names(values), self.first_step + step)

    def sync(self) -> int:
        return self.log.sync()
