"""Exact log-likelihood."""

from dataclasses import dataclass

from torch import Tensor

from dgm_run.data.data_split import DataSplit
from dgm_run.errors import ConfigError
from dgm_run.models.base import ExactModel
from dgm_run.models.labelled.base import JointModel
from dgm_run.objectives.base import Objective, Progress


@dataclass(frozen=True)
class LogLikelihood(Objective[ExactModel]):
    """Maximum likelihood: the loss is -log p(x)."""

    requires = {"model": ExactModel}
    monitor = "log_likelihood"

    def __call__(
        self, model: ExactModel, x: Tensor, progress: Progress | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        log_p = model.log_prob(x).mean()
        return -log_p, {"log_likelihood": log_p}

    def step(
        self, model: ExactModel, train: DataSplit, index: Tensor, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if isinstance(model, JointModel):
            raise ConfigError(f"trainer: {type(model).__name__} learns from labels: choose trainer=em")
        return super().step(model, train, index, progress)
