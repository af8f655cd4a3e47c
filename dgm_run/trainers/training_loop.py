"""Training loop: steps over shuffled batches, validation, early stopping, checkpoints."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributed import process_group
from dgm_run.distributed.data_parallel import DataParallel
from dgm_run.distributed.signals import Interrupted
from dgm_run.errors import ConfigError, TrainingError
from dgm_run.memory import out_of_memory
from dgm_run.objectives.base import Objective, Progress, convert_to_data_units
from dgm_run.trainers.base import RunContext, TrainingSummary
from dgm_run.trainers.batch_norm import refuse_single_values
from dgm_run.trainers.best_weights import BestWeights
from dgm_run.trainers.ema import EMA
from dgm_run.trainers.loop_settings import LoopSettings
from dgm_run.trainers.median_stopping import is_decision_epoch
from dgm_run.trainers.state import TrainingState
from dgm_run.trainers.validation import validate

POLL_SECONDS = 0.3
"""Seconds between two polls in which several processes agree on stopping and saving, each waiting for all others."""


class TrainingLoop:
    """Training loop of a trainer over a model.

    Args:
        settings: settings of the trainer.
        model: model, trained in place.
        objective: objective to minimise.
        data: training and validation data.
        context: context of the training.
        optimizer_key: key of the optimizer's settings, for messages.
    """

    def __init__(
        self,
        settings: LoopSettings,
        model: nn.Module,
        objective: Objective,
        data: LoadedDataset,
        context: RunContext,
        optimizer_key: str = "optimizer",
    ):
        self.settings = settings
        self.model = model
        self.objective = objective
        self.optimizer_key = optimizer_key
        self.data = data
        self.context = context
        self.device = data.train.device
        self.steps_per_epoch = settings.steps_per_epoch(len(data.train))
        self.total_steps = settings.total_steps(len(data.train))
        self.loss_of = self._compile() if settings.compile else self._loss
        self.engine = DataParallel(model, settings.micro_batches, context.seed, settings.worker_timeout_seconds)

        try:
            optimizer = settings.optimizer(model.parameters())
            schedule = settings.schedule(optimizer)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{optimizer_key} or its schedule: {error}") from None
        ema = EMA(model, settings.ema_decay) if settings.ema_decay else None
        self.state = TrainingState(model, optimizer, schedule, ema, self._init_memory())
        if context.resume:
            self.state.load(*context.resume, process_group.is_main_process())
        self._check_batch_norm()
        self.order: Tensor | None = None  # order of the examples in this epoch, (N,)
        self.best = BestWeights(context.checkpoints)

    def _check_batch_norm(self) -> None:
        memory = {name: value.clone() for name, value in next(iter(self.state.memory.values())).items()}
        progress = Progress(torch.tensor(0.0, device=self.device), memory)
        train = self.data.train
        refuse_single_values(
            self.model,
            lambda index: self._loss(index, progress),
            num_examples=len(train),
            batch_size=self.settings.batch_size,
            num_parts=self.settings.micro_batches,
            device=train.x.device,
        )

    def _init_memory(self) -> dict[int, dict[str, Tensor]]:
        """Initialises the objective's state for each part of a batch that this process computes."""
        rng.reseed(self.context.seed, "memory")
        index = torch.randperm(len(self.data.train))[: self.settings.batch_size].to(self.data.train.x.device)
        memory = {}
        for number, part, _ in self.engine.parts(index):
            rng.reseed(self.context.seed, "memory of a part", number)
            memory[number] = self.objective.init_state(self.model, self.data.train.batch(part))
        return memory

    def run(self) -> TrainingSummary:
        """Trains to the end, with the exceptions of `Trainer.fit`."""
        batch_size = f"trainer.batch_size={self.settings.batch_size}"
        advice = f"{batch_size} is too large: halve it, or use fewer samples"
        with out_of_memory(advice, lambda: f" at step {self.state.step}"):
            return self._run()

    def _run(self) -> TrainingSummary:
        state = self.state
        context = self.context
        context.display.start(math.ceil(self.total_steps / self.steps_per_epoch), self.steps_per_epoch, state.step)
        self.saved_at = self.resumed_at = time.monotonic()
        self.last_poll = (state.step, self.saved_at)
        self.next_poll_step = state.step
        self.steps_started_at = time.perf_counter()
        self.recorded_examples = state.examples

        self._finish_epoch()  # a stop may have come before its evaluation
        while not self._find_stop_reason():
            epoch, position = divmod(state.step, self.steps_per_epoch)
            if self.order is None or position == 0:
                self._begin_epoch(epoch)
            self._step(position)
            context.display.step(state.step)

            self._finish_epoch()
            signum, is_save_due = self._poll_stop_and_save()
            if signum or is_save_due:
                self._save()
            if signum:
                raise Interrupted(signum, f"stopped after step {state.step}")

        self._save()
        self.model.load_state_dict(self.best.load(state.best_epoch))
        return self._summarize()

    def _poll_stop_and_save(self) -> tuple[int, bool]:
        """Returns the signal that asks to stop, or 0, and whether a checkpoint is due, equal in all processes."""
        if self.state.step < self.next_poll_step:
            return 0, False
        # read only once: a signal between two reads would skip the checkpoint
        signum = self.context.stop.signum if self.context.stop else 0
        now = time.monotonic()
        is_main = process_group.is_main_process()
        is_due = is_main and now - self.saved_at > self.settings.checkpoint_seconds
        if process_group.size() == 1:
            return signum, is_due
        last_step, last_time = self.last_poll
        steps_per_second = (self.state.step - last_step) / max(now - last_time, 1e-3)
        num_steps = int(POLL_SECONDS * steps_per_second) if is_main else 0
        signum, any_due, num_steps = process_group.all_reduce_max(signum, int(is_due), num_steps)
        self.last_poll = (self.state.step, now)
        self.next_poll_step = self.state.step + max(1, num_steps)
        return signum, bool(any_due)

    def _begin_epoch(self, epoch: int) -> None:
        self.model.train()
        train = self.data.train
        self.order = rng.permutation(self.context.seed, epoch, len(train)).to(train.x.device)
        epochs_done = torch.tensor(float(epoch), device=self.device)
        self.progress = {number: Progress(epochs_done, memory) for number, memory in self.state.memory.items()}

    def _step(self, position: int) -> None:
        index = self._select_batch(position)
        self._prefetch(position)
        terms = self._optimizer_step(self._loss_of_part, index, "step")
        self._end_step(position, terms, len(index))

    def _prefetch(self, position: int) -> None:
        """Prefetches the examples of this step and the next."""
        positions = range(position, min(position + 2, self.steps_per_epoch))
        batches = (self._select_batch(each) for each in positions)
        self.data.train.expect(part for index in batches for _, part, _ in self.engine.parts(index))

    def _select_batch(self, position: int) -> Tensor:
        """Returns the positions of the examples of a step, (B,)."""
        size = self.settings.batch_size
        assert self.order is not None
        return self.order[position * size : (position + 1) * size]

    def _loss_of_part(self, index: Tensor, number: int) -> tuple[Tensor, dict[str, Tensor]]:
        return self.loss_of(index, self.progress[number])

    def _optimizer_step(self, loss_of: Callable, index: Tensor, stream: str) -> dict[str, Tensor]:
        """Updates the parameters; returns loss and terms, as `DataParallel.backward` does."""
        terms = self.engine.backward(loss_of, index, stream, self.state.step)
        self._clip_gradients()
        self.state.optimizer.step()
        self.state.optimizer.zero_grad(set_to_none=True)
        self.objective.project_parameters(self.model)
        return terms

    def _clip_gradients(self) -> None:
        if self.settings.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm, foreach=True)

    def _end_step(self, position: int, terms: dict[str, Tensor], num_examples: int) -> None:
        state = self.state
        if state.ema:
            state.ema.update(state.step)
        state.record(position, self.steps_per_epoch, terms)
        state.examples += num_examples
        state.step += 1

    def _loss(self, index: Tensor, progress: Progress) -> tuple[Tensor, dict[str, Tensor]]:
        with self._autocast():
            return self.objective.step(self.model, self.data.train, index, progress)

    def _autocast(self) -> AbstractContextManager:
        if self.settings.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def _compile(self) -> Callable:
        on_gpu = self.device.type == "cuda"
        compiled = torch.compile(self._loss, dynamic=False, mode="reduce-overhead" if on_gpu else "default")
        full_part_size = math.ceil(self.settings.batch_size / self.settings.micro_batches)

        def loss_of(index: Tensor, progress: Progress) -> tuple[Tensor, dict[str, Tensor]]:
            if len(index) < full_part_size:
                return self._loss(index, progress)  # a smaller last batch does not pay for a graph of its own
            if on_gpu:
                torch.compiler.cudagraph_mark_step_begin()
            return compiled(index, progress)

        return loss_of

    def _finish_epoch(self) -> None:
        """Evaluates and logs once at the end of an epoch, also after an interruption of that evaluation."""
        state = self.state
        is_over = state.step % self.steps_per_epoch == 0 or state.step == self.total_steps
        if not is_over or state.finished_at == state.step:
            return
        try:
            self._end_epoch(math.ceil(state.step / self.steps_per_epoch))
        except Interrupted:
            self._save()
            raise
        state.finished_at = state.step

    def _end_epoch(self, epoch: int) -> None:
        state = self.state
        settings = self.settings
        context = self.context
        means = self._average_terms()  # waits for the device
        speed = self._record_step_time()

        values = {f"train/{name}": value for name, value in means.items()}
        values["train/learning_rate"] = state.optimizer.param_groups[0]["lr"]
        if epoch % settings.eval_every == 0 or state.step == self.total_steps:
            values |= {f"valid/{name}": value for name, value in self._validate(epoch).items()}
        if state.step % self.steps_per_epoch == 0:
            self._advance_schedule(values.get(f"valid/{self.objective.monitor}"))

        context.log.scalars(values, state.step, epoch)
        context.log.speed({"speed/examples_per_second": speed}, state.step)
        context.display.epoch(epoch, values)
        if settings.image_every_epochs and epoch % settings.image_every_epochs == 0:
            context.pictures(state.step, epoch)
        self.steps_started_at = time.perf_counter()

    def _record_step_time(self) -> float:
        """Adds the seconds since the last record to the time of steps; returns the examples per second in them."""
        now = time.perf_counter()
        state = self.state
        seconds = now - self.steps_started_at
        num_examples = state.examples - self.recorded_examples
        state.seconds += seconds
        self.steps_started_at = now
        self.recorded_examples = state.examples
        return num_examples / seconds

    def _count_epoch_steps(self) -> int:
        """Counts the steps of the current epoch."""
        return (self.state.step - 1) % self.steps_per_epoch + 1

    def _average_terms(self) -> dict[str, float]:
        """Averages loss and terms over the examples of the epoch."""
        self._refuse_non_finite()
        assert self.state.history is not None
        rows = process_group.all_reduce_sum(self.state.history[: self._count_epoch_steps()])
        batch_size = self.settings.batch_size
        sizes = torch.full((len(rows), 1), batch_size, dtype=torch.float64, device=rows.device)
        if len(rows) == self.steps_per_epoch:
            sizes[-1] = len(self.data.train) - (self.steps_per_epoch - 1) * batch_size
        means = (rows * sizes).sum(0) / sizes.sum()
        return convert_to_data_units(dict(zip(self.state.names, means.tolist(), strict=True)), self.data.train)

    def _refuse_non_finite(self) -> None:
        state = self.state
        assert state.history is not None
        bad = _find_non_finite(process_group.all_reduce_sum(state.history[: self._count_epoch_steps()]))
        if bad is None and state.has_finite_weights():
            return
        step = state.step if bad is None else state.step - self._count_epoch_steps() + bad + 1
        what = "weights are" if bad is None else "loss is"
        saved = process_group.broadcast_from_main(lambda: self.context.checkpoints.exists("last"))
        kept = "the last good checkpoint is kept" if saved else "none was saved yet"
        raise TrainingError(
            f"the {what} not finite at step {step} (seed {self.context.seed}); {kept}: "
            f"lower {self.optimizer_key}.lr or set trainer.clip_norm"
        )

    def _validate(self, epoch: int) -> dict[str, float]:
        state = self.state
        batch_size = self.settings.eval_batch_size
        with state.ema.apply() if state.ema else nullcontext():
            means = validate(
                self.model, self.objective, self.data, batch_size, self.context.seed, self._stop_if_requested
            )
        monitored = means[self.objective.monitor]
        if not math.isfinite(monitored):
            raise TrainingError(
                f"valid/{self.objective.monitor} is {monitored} after step {state.step} (seed {self.context.seed}): "
                f"lower {self.optimizer_key}.lr or set trainer.clip_norm"
            )
        if monitored > state.best:
            state.best = monitored
            state.best_epoch = epoch
            state.waited = 0
            self.best.update(state.copy_evaluation_weights())
        elif epoch > self.objective.num_warmup_epochs and state.step % self.steps_per_epoch == 0:
            state.waited += 1
        state.is_hopeless = self._is_hopeless(epoch)
        return means

    def _is_hopeless(self, epoch: int) -> bool:
        first = self.settings.median_stopping_after
        if not first or not is_decision_epoch(epoch, epoch - self.settings.eval_every, first):
            return False
        name = f"valid/{self.objective.monitor}"
        return process_group.broadcast_from_main(
            lambda: self.context.median_stopping.should_stop(name, epoch, self.state.best)
        )

    def _stop_if_requested(self, done: int, total: int) -> None:
        if self.context.stop and process_group.size() == 1:  # several processes stop together, after the evaluation
            raise Interrupted(self.context.stop.signum, f"stopped in the evaluation after step {self.state.step}")

    def _advance_schedule(self, monitored: float | None) -> None:
        schedule = self.state.schedule
        if not isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            schedule.step()
        elif monitored is not None:
            schedule.step(monitored)

    def _find_stop_reason(self) -> str | None:
        if self.settings.patience and self.state.waited >= self.settings.patience:
            return "patience"
        if self.state.is_hopeless:
            return "hopeless"
        if self.state.step >= self.total_steps:
            return "max_steps" if self.total_steps == self.settings.max_steps else "max_epochs"
        return None

    def _save(self) -> None:
        """Writes `best`, if it is new, and then `last`. On a full disk the former checkpoints stay."""
        state = self.state
        context = self.context
        if state.history is not None:
            self._refuse_non_finite()
        self._record_step_time()
        now = time.monotonic()
        state.elapsed = state.elapsed + now - self.resumed_at
        self.resumed_at = now
        training_state = state.state_dict(self.settings.micro_batches)
        try:
            self.best.save(state.best_epoch)
            record: dict[str, Any] = {"config": context.config, "data": self.data.dataset.protocol}
            record |= {"metrics_offset": context.log.sync(), "logged_step": state.step}
            context.checkpoints.save("last", self.model.state_dict(), record | training_state)
        except OSError as error:
            context.display.say(f"{error}; the former checkpoint is kept and training continues")
        self.saved_at = time.monotonic()
        self.steps_started_at = time.perf_counter()

    def _summarize(self) -> TrainingSummary:
        state = self.state
        stopped_by = self._find_stop_reason()
        assert stopped_by is not None
        return TrainingSummary(
            epochs=math.ceil(state.step / self.steps_per_epoch),
            steps=state.step,
            seconds=state.elapsed,
            examples_per_second=state.examples / state.seconds if state.seconds else 0.0,
            stopped_by=stopped_by,
            monitor=f"valid/{self.objective.monitor}",
            best=state.best,
            best_epoch=state.best_epoch,
        )


def _find_non_finite(rows: Tensor) -> int | None:
    """Returns the index of the first row that is not finite; None if all are finite."""
    bad = (~rows.isfinite().all(1)).nonzero()
    return int(bad[0]) if len(bad) else None
