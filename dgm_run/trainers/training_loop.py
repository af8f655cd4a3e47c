"""Training loop: steps over shuffled batches, validation, early stopping, checkpoints."""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributed import process_group
from dgm_run.distributed.signals import Interrupted
from dgm_run.errors import TrainingError
from dgm_run.memory import out_of_memory
from dgm_run.objectives.base import Objective, convert_to_data_units
from dgm_run.trainers.base import RunContext, TrainingSummary
from dgm_run.trainers.batches import Batches
from dgm_run.trainers.callbacks.base import Training
from dgm_run.trainers.callbacks.callback_list import CallbackList
from dgm_run.trainers.early_stopping import EarlyStopping
from dgm_run.trainers.ema import EMA
from dgm_run.trainers.loop_settings import LoopSettings
from dgm_run.trainers.save_schedule import SaveSchedule
from dgm_run.trainers.step import Step
from dgm_run.trainers.step_history import StepHistory
from dgm_run.trainers.training_clock import TrainingClock
from dgm_run.trainers.validation import validate


class TrainingLoop:
    """Training of a model by steps.

    Random numbers need no state: they are keyed by seed and step (`rng.py`).

    Args:
        settings: settings of the trainer.
        model: model, trained in place.
        objective: objective of the validation.
        step: update of the model on a batch.
        data: training and validation data.
        context: context of the training.
        optimizer_key: key of the optimizer's settings, for messages.

    Attributes:
        num_steps: number of steps so far.
        num_evaluated_steps: number of steps at the last end of an epoch, after its evaluation.
        total_steps: number of steps at which training ends.
        is_out_of_time: whether the time of the training is over, equally in all processes.
    """

    def __init__(
        self,
        settings: LoopSettings,
        model: nn.Module,
        objective: Objective,
        step: Step,
        data: LoadedDataset,
        context: RunContext,
        optimizer_key: str = "optimizer",
    ):
        num_examples = len(data.train)
        self.settings = settings
        self.model = model
        self.objective = objective
        self.step = step
        self.data = data
        self.context = context
        self.optimizer_key = optimizer_key
        self.batch_size = settings.examples_per_step(num_examples)
        self.steps_per_epoch = settings.steps_per_epoch(num_examples)
        self.total_steps = settings.total_steps(num_examples)
        self.batches = Batches(data.train, self.batch_size, context.seed, step.prefetch)
        self.history = StepHistory(self.steps_per_epoch)
        self.monitor = f"valid/{objective.monitor}"
        self.stopping = EarlyStopping(
            settings, self.monitor, context.checkpoints, context.median_stopping, context.pruning
        )
        self.ema = EMA(model, settings.ema_decay) if settings.ema_decay else None
        self.clock = TrainingClock()
        self.num_steps = 0
        self.num_evaluated_steps = 0
        self.warnings: set[str] = set()
        self.callbacks = self._make_callbacks()
        if context.resume:
            self._load(*context.resume)
        # the clock of the checkpoint is equal in all processes
        self.is_out_of_time = settings.max_hours is not None and self.clock.seconds >= settings.max_hours * 3600
        self.save_schedule = SaveSchedule(
            settings.checkpoint_seconds, context.stop, self.num_steps, self._is_time_over
        )  # fmt: skip

    def _make_callbacks(self) -> CallbackList:
        context = self.context
        training = Training(
            model=self.model,
            data=self.data,
            log=context.log,
            display=context.display,
            folder=context.folder,
            seed=context.seed,
            monitor=self.monitor,
            steps_per_epoch=self.steps_per_epoch,
            step=0,
        )
        return CallbackList(context.callbacks, training)

    def _is_time_over(self) -> bool:
        hours = self.settings.max_hours
        return hours is not None and self.clock.total_seconds >= hours * 3600

    def run(self) -> TrainingSummary:
        """Trains to the end, with the exceptions of `Trainer.fit`."""
        batch_size = f"trainer.batch_size={self.settings.batch_size}"
        advice = f"{batch_size} is too large: halve it, or use fewer samples"
        with out_of_memory(advice, lambda: f" at step {self.num_steps}"):
            self._train()
            self._save()
            self._validate_at_least_once()
            self.callbacks.end()
            self.model.load_state_dict(self.stopping.load_weights())
            return self._summarize()

    def _train(self) -> None:
        num_epochs = math.ceil(self.total_steps / self.steps_per_epoch)
        self.context.display.start(num_epochs, self.steps_per_epoch, self.num_steps)
        self.clock.start()
        self.callbacks.start(self.num_steps)
        if self.settings.overfit_examples and self.num_steps == 0:
            self._log_validation()  # the value to rise from
        while not self.is_out_of_time and (self.num_evaluated_steps < self.num_steps or not self._find_stop_reason()):
            epoch = self.num_evaluated_steps // self.steps_per_epoch
            first = self.num_steps - epoch * self.steps_per_epoch
            end = min(self.steps_per_epoch, self.total_steps - epoch * self.steps_per_epoch)
            self.model.train()
            self.step.begin_epoch(epoch)
            for position, index in enumerate(self.batches.iterate(epoch, first, end), first):
                self._record(position, len(index), self.step(index, self.num_steps))
                if position + 1 < end:
                    self._save_or_stop_if_due()
                if self.is_out_of_time:  # the checkpoint within the epoch resumes it; the rest is not evaluated
                    return
            self._end_epoch(epoch + 1, end)
            self._save_or_stop_if_due()

    def _record(self, position: int, num_examples: int, terms: dict[str, Tensor]) -> None:
        """Records a step, without waiting for its values."""
        if self.ema:
            self.ema.update(self.num_steps)
        self.history.record(position, terms)
        self.clock.num_examples += num_examples
        self.num_steps += 1
        self.context.display.step(self.num_steps)
        self.callbacks.end_step(self.num_steps)

    def _save_or_stop_if_due(self) -> None:
        due = self.save_schedule.poll(self.num_steps)
        if due.signum or due.checkpoint:
            self._save()
        if due.signum:
            raise Interrupted(due.signum, f"stopped after step {self.num_steps}")
        self.is_out_of_time |= due.end

    def _end_epoch(self, epoch: int, num_steps: int) -> None:
        """Evaluates and logs after `num_steps` steps of an epoch, counted from 1."""
        settings = self.settings
        context = self.context
        values = {f"train/{name}": value for name, value in self._average_terms(num_steps).items()}  # waits for them
        speed = self.clock.record_steps()
        if self.step.learning_rate is not None:
            values["train/learning_rate"] = self.step.learning_rate
        if epoch % settings.eval_every == 0 or self.num_steps == self.total_steps:
            values |= {f"valid/{name}": value for name, value in self._validate(epoch).items()}
        if num_steps == self.steps_per_epoch:
            self.step.end_epoch(values.get(self.monitor))
        self._warn(values)

        context.log.scalars(values, self.num_steps, epoch)
        context.log.speed({"speed/examples_per_second": speed}, self.num_steps)
        context.display.epoch(epoch, values)
        if settings.image_every_epochs and epoch % settings.image_every_epochs == 0:
            context.pictures(self.num_steps, epoch)
        self.num_evaluated_steps = self.num_steps
        self.callbacks.end_epoch(values)
        self.clock.start_steps()

    def _average_terms(self, num_steps: int) -> dict[str, float]:
        """Averages loss and terms over the examples of the epoch."""
        self._refuse_non_finite(num_steps)
        sizes = torch.full((num_steps,), self.batch_size, dtype=torch.float64)
        if num_steps == self.steps_per_epoch:
            sizes[-1] = len(self.data.train) - (num_steps - 1) * self.batch_size
        return convert_to_data_units(self.history.average(sizes), self.data.train)

    def _validate(self, epoch: int) -> dict[str, float]:
        try:
            with self._averaged_weights():
                batch_size = self.settings.eval_batch_size
                means = validate(
                    self.model, self.objective, self.data, batch_size, self.context.seed, self._stop_if_requested
                )
        except Interrupted:
            self._save()
            raise
        value = means[self.objective.monitor]
        if not math.isfinite(value):
            raise self._make_error(f"{self.monitor} is {value} after step {self.num_steps}")
        with self._averaged_weights():
            self.callbacks.validate({f"valid/{name}": mean for name, mean in means.items()})
        is_counted = epoch > self.objective.num_warmup_epochs and self.num_steps % self.steps_per_epoch == 0
        self.stopping.update(value, epoch, is_counted, self._copy_evaluated_weights)
        return means

    def _validate_at_least_once(self) -> None:
        """Validates a training whose time was over before its first validation, because it has no best weights.

        It follows the last checkpoint: a resumed training has neither these values nor these weights.
        """
        if self.stopping.best == -math.inf:
            self._log_validation()
            self.stopping.save_weights()

    def _log_validation(self) -> None:
        """Validates and logs apart from the end of an epoch."""
        epoch = math.ceil(self.num_steps / self.steps_per_epoch)
        values = {f"valid/{name}": value for name, value in self._validate(epoch).items()}
        self.context.log.scalars(values, self.num_steps, epoch)

    def _averaged_weights(self) -> AbstractContextManager:
        """Returns a context in which the model has the weights that evaluation uses."""
        return self.ema.apply() if self.ema else nullcontext()

    def _copy_evaluated_weights(self) -> dict[str, Tensor]:
        with self._averaged_weights():
            return {name: value.clone() for name, value in self.model.state_dict().items()}

    def _stop_if_requested(self, done: int, total: int) -> None:
        if self.context.stop and process_group.size() == 1:  # several processes stop together, after the evaluation
            raise Interrupted(self.context.stop.signum, f"stopped in the evaluation after step {self.num_steps}")

    def _warn(self, values: dict[str, float]) -> None:
        """Prints the warnings of the step, unless one with the same beginning was printed before."""
        for warning in self.step.describe_problems(values):
            beginning = warning.split(" (")[0].split(":")[0]
            if beginning not in self.warnings:
                self.warnings.add(beginning)
                self.context.display.say(f"step {self.num_steps}: {warning}")

    def _refuse_non_finite(self, num_steps: int) -> None:
        """Refuses a loss that was not finite in the last `num_steps` steps, and weights that are not."""
        position = self.history.find_non_finite(num_steps)
        if position is None and _are_finite(self.model):
            return
        step = self.num_steps if position is None else self.num_steps - num_steps + position + 1
        what = "weights are" if position is None else "loss is"
        has_saved = process_group.broadcast_from_main(lambda: self.context.checkpoints.exists("last"))
        kept = "the last good checkpoint is kept" if has_saved else "none was saved yet"
        raise self._make_error(f"the {what} not finite at step {step}", f"; {kept}")

    def _make_error(self, what: str, more: str = "") -> TrainingError:
        remedy = f"lower {self.optimizer_key}.lr or set trainer.clip_norm"
        return TrainingError(f"{what} (seed {self.context.seed}){more}: {remedy}")

    def _find_stop_reason(self) -> str | None:
        reason = self.stopping.reason
        if self.num_steps < self.total_steps or reason not in (None, "pruning"):  # at its end a trial is complete
            out_of_time = "max_hours" if self.is_out_of_time else None
            return reason or self.callbacks.stop_reason or out_of_time
        return "max_steps" if self.total_steps == self.settings.max_steps else "max_epochs"

    def _save(self) -> None:
        """Writes `best`, if it is new, and then `last`. On a full disk the former checkpoints stay."""
        context = self.context
        if self.num_steps:
            self._refuse_non_finite((self.num_steps - 1) % self.steps_per_epoch + 1)
        self.clock.record_steps()
        state = self._state_dict()
        try:
            self.stopping.save_weights()
            record: dict[str, Any] = {"config": context.config, "data": self.data.dataset.protocol}
            record |= {"metrics_offset": context.log.sync(), "logged_step": self.num_steps}
            context.checkpoints.save("last", self.model.state_dict(), record | state)
        except OSError as error:
            kept = (
                "the former checkpoint is kept" if context.checkpoints.exists("last") else "there is no checkpoint yet"
            )
            context.display.say(f"{error}; {kept}, and training continues")
        self.save_schedule.restart()
        self.clock.start_steps()

    def _state_dict(self) -> dict[str, Any]:
        """Returns the state without the weights, in plain types and tensors. All processes call it together."""
        state = {
            "step": self.num_steps,
            "evaluated_step": self.num_evaluated_steps,
            "update": self.step.state_dict(),
            "history": self.history.state_dict(),
            "stopping": self.stopping.state_dict(),
            "ema": self.ema.state_dict() if self.ema else None,
            "clock": self.clock.state_dict(),
        }
        return state | ({"callbacks": self.callbacks.state_dict()} if self.callbacks.has_callbacks else {})

    def _load(self, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Restores the weights and the state of a checkpoint."""
        self.model.load_state_dict(weights)
        self.num_steps = state["step"]
        self.num_evaluated_steps = state["evaluated_step"]
        self.step.load_state_dict(state["update"])
        self.history.load_state_dict(state["history"], self.data.train.device)
        self.stopping.load_state_dict(state["stopping"])
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        self.clock.load_state_dict(state["clock"])
        if "callbacks" in state:
            self.callbacks.load_state_dict(state["callbacks"])

    def _summarize(self) -> TrainingSummary:
        stopped_by = self._find_stop_reason()
        assert stopped_by is not None
        return TrainingSummary(
            epochs=math.ceil(self.num_steps / self.steps_per_epoch),
            steps=self.num_steps,
            seconds=self.clock.seconds,
            examples_per_second=self.clock.examples_per_second,
            stopped_by=stopped_by,
            monitor=self.monitor,
            best=self.stopping.best,
            best_epoch=self.stopping.best_epoch,
        )


def _are_finite(model: nn.Module) -> bool:
    """Returns whether all parameters are finite."""
    norms = torch._foreach_norm(list(model.parameters()))
    return bool(torch.stack(norms).isfinite().all())
