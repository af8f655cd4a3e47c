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
from dgm_run.recording.checkpoint import Snapshot
from dgm_run.trainers.base import RunContext, StoppingRule, TrainingSummary
from dgm_run.trainers.gradient import GradientTrainer
from dgm_run.trainers.gradient_step import GradientStep
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
        key = "trainer.pretraining"
        pretraining = self.pretraining
        refuse_past_end(pretraining.schedule, pretraining.max_epochs, f"{key}.schedule", key, bool(state))
        if self.joint:
            step = state["step"] if state and state["layer"] == model.num_stages else 0
            self.check_epochs(num_examples, step, bool(state))

    def fit(self, model: nn.Module, objective: Objective, data: LoadedDataset, context: RunContext) -> TrainingSummary:
        assert isinstance(model, LayeredModel)
        sequence = TrainingSequence(model, context)
        epochs = [f"layer {index + 1}: {self.pretraining.max_epochs}" for index in range(model.num_stages)]
        if self.joint:
            epochs.append(f"{model.joint_stage_name}: {self.max_epochs}")
        sequence.announce(f"epochs: {', '.join(epochs)}")
        for index in range(sequence.first_layer, model.num_stages):
            self._fit_layer(sequence, index, data)
            if sequence.is_out_of_time:
                sequence.save_best()
                return sequence.summarize()
        if self.joint:
            sequence.announce(model.joint_stage_name)
            settings = replace(self, max_hours=self._find_hours_left(sequence))
            loop = settings.make_loop(model, objective, data, sequence.make_context(model))
            sequence.record_summary(loop.run())
        else:
            sequence.save_whole_model(data)
        return sequence.summarize()

    def _fit_layer(self, sequence: "TrainingSequence", index: int, data: LoadedDataset) -> None:
        rng.reseed(sequence.run_context.seed, "layer", index)
        stage = sequence.model.build_stage(index)
        train, valid, test = (split.map(stage.prepare) for split in (data.train, data.valid, data.test))
        initialize(stage.model, train)
        num_parameters = sum(parameter.numel() for parameter in stage.model.parameters())
        sequence.announce(
            f"layer {index + 1} of {sequence.model.num_stages}: {type(stage.model).__name__} with "
            f"{num_parameters:,} parameters"
        )
        settings = replace(self._make_layer_settings(index), max_hours=self._find_hours_left(sequence))
        objective = self.pretraining.objective
        layer_data = LoadedDataset(data.dataset, train, valid, test)
        context = sequence.make_context(stage.model)
        key = "trainer.pretraining.optimizer"
        step = GradientStep(settings, stage.model, objective, train, context.seed, key)
        summary = TrainingLoop(settings, stage.model, objective, step, layer_data, context, key).run()
        stage.finish()
        sequence.record_summary(summary)

    def _find_hours_left(self, sequence: "TrainingSequence") -> float | None:
        """Returns the hours that the trainings so far have left, at least a moment; None without a limit."""
        if self.max_hours is None:
            return None
        seconds = sum(summary.seconds for summary in sequence.summaries)
        return max(self.max_hours - seconds / 3600, 1e-9)

    def _make_layer_settings(self, index: int) -> "LayerwiseTrainer":
        """Returns the settings of the loop that trains layer `index`, from 0."""
        return replace(
            self,
            optimizer=partial(self.pretraining.make_optimizer, index),
            schedule=self.pretraining.schedule,
            max_epochs=self.pretraining.max_epochs,
            eval_every=self.pretraining.eval_every,
            max_steps=None,
            patience=None,
            median_stopping_after=None,
            ema_decay=None,
            image_every_epochs=None,
        )


class TrainingSequence:
    """Sequence of trainings in one run, with common checkpoints and a common log.

    Args:
        model: whole model.
        run_context: context of the run.

    Attributes:
        first_layer: first layer to train; beyond the last layer if only joint training is left.
        summaries: summaries of the finished trainings.
    """

    def __init__(self, model: LayeredModel, run_context: RunContext):
        self.model = model
        self.run_context = run_context
        self.first_layer = 0
        self.summaries: list[TrainingSummary] = []
        self.resume = run_context.resume
        if self.resume:
            weights, state = self.resume
            model.load_state_dict(weights)
            self.first_layer = state["layer"]
            self.summaries = [TrainingSummary(**summary) for summary in state["summaries"]]

    @property
    def layer(self) -> int:
        """Number of the layer in training, from 0."""
        return len(self.summaries)

    @property
    def steps(self) -> int:
        """Number of steps of the finished trainings."""
        return sum(summary.steps for summary in self.summaries)

    @property
    def epochs(self) -> int:
        """Number of epochs of the finished trainings."""
        return sum(summary.epochs for summary in self.summaries)

    @property
    def is_out_of_time(self) -> bool:
        """Returns whether the last training ended because its time was over."""
        return self.summaries[-1].stopped_by == "max_hours"

    def announce(self, text: str) -> None:
        """Prints a line about the course of the run."""
        self.run_context.display.say(text)

    def make_context(self, part: nn.Module) -> RunContext:
        """Makes the context of the next training: of a layer's model, or of the whole model."""
        steps = self.steps
        epochs = self.epochs
        resume = self.resume
        self.resume = None  # only the interrupted training resumes
        if resume and part is not self.model:
            resume = Snapshot(resume.state["layer_weights"], resume.state)
        pruning = self.run_context.pruning
        name = "" if part is self.model else f"layer_{self.layer + 1}/"
        return replace(
            self.run_context,
            checkpoints=_PartCheckpoints(self, part),
            log=_PartLog(self.run_context.log, name, steps, epochs),
            median_stopping=_ShiftedRule(self.run_context.median_stopping, epochs),
            pruning=_ShiftedRule(pruning, epochs) if pruning and part is self.model else None,
            pictures=lambda step, epoch: self.run_context.pictures(steps + step, epochs + epoch),
            resume=resume,
        )

    def record_summary(self, summary: TrainingSummary) -> None:
        """Records the summary of a finished training, and draws pictures."""
        if self.layer < self.model.num_stages:
            summary = replace(summary, monitor=f"layer_{self.layer + 1}/{summary.monitor}")
        self.summaries.append(summary)
        if self.layer <= self.model.num_stages:
            self.run_context.pictures(self.steps, self.epochs)

    def checkpoint_entries(self, step: int) -> dict[str, Any]:
        """Returns the entries of a checkpoint that describe the sequence, at `step` of the current training."""
        summaries = [asdict(summary) for summary in self.summaries]
        return {"layer": self.layer, "summaries": summaries, "logged_step": self.steps + step}

    def save_whole_model(self, data: LoadedDataset) -> None:
        """Writes the checkpoints of the whole model where no joint training follows the layers."""
        record = {"config": self.run_context.config, "data": data.dataset.protocol}
        record |= {"metrics_offset": self.run_context.log.sync()} | self.checkpoint_entries(0)
        self.save_best()
        self.run_context.checkpoints.save("last", self.model.state_dict(), record)

    def save_best(self) -> None:
        """Writes the whole model as `best`, from the best weights of its layers."""
        self.run_context.checkpoints.save("best", self.model.state_dict(), {"epoch": self.epochs})

    def summarize(self) -> TrainingSummary:
        """Summarises all trainings, with the monitored quantity of the last one."""
        step_seconds = sum(summary.steps / summary.examples_per_second for summary in self.summaries)
        return replace(
            self.summaries[-1],
            epochs=self.epochs,
            steps=self.steps,
            seconds=sum(summary.seconds for summary in self.summaries),
            examples_per_second=self.steps / step_seconds,
            best_epoch=self.epochs - self.summaries[-1].epochs + self.summaries[-1].best_epoch,
        )


class _PartCheckpoints:
    """Checkpoints of a layer, which hold the whole model as well."""

    def __init__(self, sequence: TrainingSequence, part: nn.Module):
        self.sequence = sequence
        self.checkpoints = sequence.run_context.checkpoints
        self.is_layer = part is not sequence.model

    def _name(self, name: str) -> str:
        return f"best_of_layer_{self.sequence.layer + 1}" if name == "best" and self.is_layer else name

    def save(self, name: str, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
        if name == "last":
            entries = self.sequence.checkpoint_entries(state["step"])
            state = state | entries | {"layer_weights": weights if self.is_layer else None}
            weights = self.sequence.model.state_dict()
        self.checkpoints.save(self._name(name), weights, state)

    def exists(self, name: str) -> bool:
        return self.checkpoints.exists(self._name(name))

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any], list[str]]:
        return self.checkpoints.load(self._name(name))


class _ShiftedRule:
    """Stopping rule with epochs counted from the start of the first training."""

    def __init__(self, rule: StoppingRule, first_epoch: int):
        self.rule = rule
        self.first_epoch = first_epoch

    def should_stop(self, name: str, epoch: int, best: float) -> bool:
        return self.rule.should_stop(name, self.first_epoch + epoch, best)


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
