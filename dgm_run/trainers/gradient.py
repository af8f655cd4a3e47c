"""Stochastic gradient descent on one objective."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from dgm_run.data.dataset import LoadedDataset
from dgm_run.objectives.base import Objective
from dgm_run.trainers.base import RunContext, Trainer, TrainingSummary
from dgm_run.trainers.loop_settings import LoopSettings
from dgm_run.trainers.training_loop import TrainingLoop


@dataclass(frozen=True)
class GradientTrainer(LoopSettings, Trainer):
    """Trainer by mini-batches until the validation quantity stops improving.

    The hot path is index, prepare, forward, backward, update. Data are on the device, and nothing is read back between
    two evaluations. A non-finite loss is therefore noticed at the end of its epoch; the message names its step.
    """

    def check(self, model: nn.Module, num_examples: int, state: Mapping[str, Any] | None) -> None:
        self.check_epochs(num_examples, state["step"] if state else 0, bool(state))

    def fit(self, model: nn.Module, objective: Objective, data: LoadedDataset, context: RunContext) -> TrainingSummary:
        return self.make_loop(model, objective, data, context).run()

    def make_loop(
        self, model: nn.Module, objective: Objective, data: LoadedDataset, context: RunContext
    ) -> TrainingLoop:
        """Makes the loop that `fit` runs."""
        return TrainingLoop(self, model, objective, data, context)
