"""Expectation maximisation."""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from dgm_run import rng
from dgm_run.data.dataset import LoadedDataset
from dgm_run.errors import ConfigError
from dgm_run.models.linear.factor_analysis import EMModel
from dgm_run.objectives.base import Objective
from dgm_run.objectives.log_likelihood import LogLikelihood
from dgm_run.trainers.gradient import GradientTrainer
from dgm_run.trainers.step import Step


@dataclass(frozen=True)
class EMTrainer(GradientTrainer):
    """Trainer by expectation maximisation: each step uses all training examples, and never lowers their likelihood.

    An epoch is a single step. Everything else works as in `GradientTrainer`. Optimizer, schedule, batch size and
    clipping are unused.
    """

    requires = {"model": EMModel, "objective": LogLikelihood}
    augments = False

    def __post_init__(self):
        super().__post_init__()
        if self.micro_batches > 1:
            raise ValueError(
                f"devices = {self.devices}, micro_batches = {self.micro_batches}: a step of trainer=em takes all "
                "examples at once: set both to 1"
            )

    def check_epochs(self, num_examples: int, step: int, is_resumed: bool) -> None:
        without_schedule = replace(self, schedule=lambda optimizer: None)  # an unused schedule refuses nothing
        super(EMTrainer, without_schedule).check_epochs(num_examples, step, is_resumed)

    def examples_per_step(self, num_examples: int) -> int:
        return num_examples

    def make_step(self, model: nn.Module, objective: Objective, data: LoadedDataset, seed: int) -> Step:
        assert isinstance(model, EMModel)
        rng.reseed(seed, "moments")
        try:
            return EMStep(model, model.compute_statistics(data.train))
        except ValueError as error:
            raise ConfigError(f"dataset: {error}") from None


class EMStep(Step):
    """EM step on the statistics of all training examples, whatever the batch.

    Args:
        model: model to train.
        statistics: statistics of the examples, from `model.compute_statistics`.
    """

    def __init__(self, model: EMModel, statistics: Any):
        self.model = model
        self.statistics = statistics

    def __call__(self, index: Tensor, number: int) -> dict[str, Tensor]:
        log_p = self.model.em_step(self.statistics)
        return {"loss": -log_p, "log_likelihood": log_p}
