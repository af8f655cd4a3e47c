"""Stochastic gradient descent on one objective."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributed.device import has_bf16_units
from dgm_run.objectives.base import Objective
from dgm_run.trainers.base import RunContext, Trainer, TrainingSummary
from dgm_run.trainers.gradient_step import GradientStep
from dgm_run.trainers.loop_settings import MIN_COMPILED_STEPS, LoopSettings
from dgm_run.trainers.step import Step
from dgm_run.trainers.training_loop import TrainingLoop

BF16_ADVICE = (
    "this processor multiplies faster in bf16: trainer.precision=bf16 trainer.compile=true would train in about two "
    "thirds of the time, to the same likelihood as far as three seeds tell (docs/training.md)"
)


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
        if self._would_gain_by_bf16(data.train):
            context.display.say(BF16_ADVICE)
        step = self.make_step(model, objective, data, context.seed)
        return TrainingLoop(self, model, objective, step, data, context)

    def _would_gain_by_bf16(self, train: DataSplit) -> bool:
        """Returns whether a long training by this class, whose likelihoods were compared, would be faster in bf16."""
        is_compared = type(self) is GradientTrainer and self.precision == "fp32" and train.device.type == "cpu"
        is_long = self.total_steps(len(train)) >= MIN_COMPILED_STEPS
        return is_compared and is_long and has_bf16_units(train.device)

    def make_step(self, model: nn.Module, objective: Objective, data: LoadedDataset, seed: int) -> Step:
        """Makes the step of the loop; trainers with other steps override it."""
        return GradientStep(self, model, objective, data.train, seed)
