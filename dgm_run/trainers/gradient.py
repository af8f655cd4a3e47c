"""Stochastic gradient descent on one objective."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from dgm_run.data.dataset import LoadedDataset
from dgm_run.objectives.base import Objective
from dgm_run.trainers.base import RunContext, Trainer, TrainingSummary
from dgm_run.trainers.gradient_step import GradientStep
from dgm_run.trainers.loop_settings import LoopSettings
from dgm_run.trainers.step import Step
from dgm_run.trainers.training_loop import TrainingLoop


@dataclass(frozen=True)
class GradientTrainer(LoopSettings, Trainer):
    """Trainer by mini-batches until the validation quantity stops improving.

    A step indexes and prepares a batch, and runs forward, backward and update. The data are on the device, and no
    value is read back between two evaluations. So a loss that is not finite is reported at the end of its epoch; the
    message names the step.
    """

    augments = True

    def check(self, model: nn.Module, num_examples: int, state: Mapping[str, Any] | None) -> None:
        self.check_epochs(num_examples, state["step"] if state else 0, bool(state))

    def fit(self, model: nn.Module, objective: Objective, data: LoadedDataset, context: RunContext) -> TrainingSummary:
        return self.make_loop(model, objective, data, context).run()

    def make_loop(
        self, model: nn.Module, objective: Objective, data: LoadedDataset, context: RunContext
    ) -> TrainingLoop:
        """Makes the loop that `fit` runs."""
        if self.compile == "auto":
            decision = "compiling" if self.compiles_step(len(data.train)) else "not compiling"
            num_steps = self.total_steps(len(data.train))
            context.display.say(f"trainer.compile=auto: {decision} the step, of which there are {num_steps:,} at most")
        step = self.make_step(model, objective, data, context.seed)
        return TrainingLoop(self, model, objective, step, data, context)

    def make_step(self, model: nn.Module, objective: Objective, data: LoadedDataset, seed: int) -> Step:
        """Makes the step of the loop; trainers with other steps override it."""
        return GradientStep(self, model, objective, data.train, seed)
