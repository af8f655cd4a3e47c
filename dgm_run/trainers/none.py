"""No training: a model is evaluated with the weights that it has."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from dgm_run.data.dataset import LoadedDataset
from dgm_run.objectives.base import Objective
from dgm_run.trainers.base import RunContext, Trainer, TrainingSummary
from dgm_run.trainers.run_settings import RunSettings


@dataclass(frozen=True)
class NoTraining(RunSettings, Trainer):
    """Trainer that keeps the weights, which `init_from` or the model itself gives."""

    uses = ()

    def fit(self, model: nn.Module, objective: Objective, data: LoadedDataset, context: RunContext) -> TrainingSummary:
        if context.resume:  # the checkpoint has the weights that `init_from` gave
            model.load_state_dict(context.resume.weights)
        weights = model.state_dict()
        state: dict[str, Any] = {"config": context.config, "data": data.dataset.protocol, "step": 0}
        state |= {"metrics_offset": context.log.sync(), "logged_step": 0}
        context.checkpoints.save("best", weights, {"epoch": 0})
        context.checkpoints.save("last", weights, state)
        return TrainingSummary(
            epochs=0,
            steps=0,
            seconds=0.0,
            examples_per_second=0.0,
            stopped_by="no training",
            monitor=None,
            best=None,
            best_epoch=0,
        )
