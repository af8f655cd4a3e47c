"""Settings of a training loop."""

import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dgm_run.errors import CheckpointError
from dgm_run.trainers.run_settings import RunSettings
from dgm_run.trainers.schedules import refuse_past_end

MIN_COMPILED_STEPS = 20_000
"""Number of steps from which the time that compiled steps save exceeds that of compilation."""
CPP_COMPILERS = ("c++", "g++", "clang++", "cl")
"""Names of compilers of C++, one of which torch.compile needs."""


@dataclass(frozen=True)
class LoopSettings(RunSettings):
    """Settings of a training loop: its optimizer, its length, and its batches.

    Args:
        optimizer: parameters -> torch optimizer.
        schedule: optimizer -> torch learning-rate schedule, advanced once an epoch.
        max_epochs: largest number of epochs.
        total_epochs: epochs of all stages together, which `divide_total_epochs` has divided among the stages.
        max_steps: largest number of optimizer steps; null for no limit.
        max_hours: hours of training, over all sessions, after which it stops within its epoch; null for no limit.
        batch_size: examples of a step.
        eval_every: epochs between two evaluations on the validation set.
        patience: evaluations without improvement before training stops, counted after the objective's
            warm-up; null to train to the end.
        median_stopping_after: epochs after which a job of a sweep ends if it is worse than the median of the others at
            that epoch; checked again after two, four, ... times as many; null for no check.
        overfit_examples: number of training examples, the first ones, with which to train and to validate, before the
            first step too; null for all of them, and validation examples of their own.
        clip_norm: upper limit of the gradient's norm; null for none.
        ema_decay: decay of the moving average of the weights that is evaluated and kept; null for none.
        compile: whether torch.compile fuses the step; auto if the training has `MIN_COMPILED_STEPS` steps and there is
            a compiler of C++. A measured gain would not decide alike in a resumed run.
        micro_batches: parts of a batch, which the processes share: a multiple of `devices`. Each part has random
            numbers, and chains, of its own. Runs with equal parts give equal results on any number of devices.
        image_every_epochs: epochs between pictures and histograms; null for the end only.
        checkpoint_seconds: seconds between two writes of the checkpoint `last`.

    Raises:
        ValueError: a number is not positive.
    """

    optimizer: Callable
    schedule: Callable
    max_epochs: int
    total_epochs: int | None
    max_steps: int | None
    max_hours: float | None
    batch_size: int
    eval_every: int
    patience: int | None
    median_stopping_after: int | None
    overfit_examples: int | None
    clip_norm: float | None
    ema_decay: float | None
    compile: bool | Literal["auto"]
    micro_batches: int
    image_every_epochs: int | None
    checkpoint_seconds: float

    def __post_init__(self):
        super().__post_init__()
        if self.ema_decay is not None and self.ema_decay >= 1:
            raise ValueError(f"ema_decay = {self.ema_decay} must lie between 0 and 1; null switches it off")
        if self.micro_batches % self.devices:
            raise ValueError(
                f"micro_batches = {self.micro_batches} parts cannot be shared by devices = {self.devices}: "
                "set a multiple of it"
            )
        if self.micro_batches > self.batch_size:
            raise ValueError(
                f"micro_batches = {self.micro_batches} exceeds batch_size = {self.batch_size}: every part needs an "
                "example: lower micro_batches"
            )

    def check_epochs(self, num_examples: int, step: int, is_resumed: bool) -> None:
        """Refuses numbers of epochs, as `Trainer.check` does, for a training that has made `step` steps."""
        steps_per_epoch = self.steps_per_epoch(num_examples)
        total = self.total_steps(num_examples)
        if step > total:
            name = "max_epochs"
            done = math.ceil(step / steps_per_epoch)
            if total == self.max_steps:
                name = "max_steps"
                done = step
            raise CheckpointError(
                f"trainer.resume: {done} {name[4:]} are trained already, more than trainer.{name}="
                f"{getattr(self, name)}: set it to {done} or more"
            )
        refuse_past_end(self.schedule, math.ceil(total / steps_per_epoch), "schedule", "trainer", is_resumed)

    def compiles_step(self, num_examples: int) -> bool:
        """Returns whether the step is compiled."""
        if self.compile != "auto":
            return self.compile
        compilers = [os.environ["CXX"].strip().partition(" ")[0]] if "CXX" in os.environ else CPP_COMPILERS
        return self.total_steps(num_examples) >= MIN_COMPILED_STEPS and any(map(shutil.which, compilers))

    def examples_per_step(self, num_examples: int) -> int:
        """Counts the examples of a step; the last of an epoch may have fewer."""
        return self.batch_size

    def steps_per_epoch(self, num_examples: int) -> int:
        """Counts the steps of an epoch."""
        return math.ceil(num_examples / self.examples_per_step(num_examples))

    def total_steps(self, num_examples: int) -> int:
        """Counts the steps of the whole training, by `max_epochs` and `max_steps`."""
        total = self.max_epochs * self.steps_per_epoch(num_examples)
        return min(total, self.max_steps) if self.max_steps else total
