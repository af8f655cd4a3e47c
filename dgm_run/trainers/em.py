"""Expectation maximisation."""

from dataclasses import dataclass, replace

from torch import nn

from dgm_run import rng
from dgm_run.data.dataset import LoadedDataset
from dgm_run.errors import ConfigError
from dgm_run.models.linear.factor_analysis import EMModel
from dgm_run.objectives.base import Objective
from dgm_run.objectives.log_likelihood import LogLikelihood
from dgm_run.trainers.base import RunContext
from dgm_run.trainers.gradient import GradientTrainer
from dgm_run.trainers.training_loop import TrainingLoop


@dataclass(frozen=True)
class EMTrainer(GradientTrainer):
    """Trainer by expectation maximisation: each step uses all training examples, and never lowers their likelihood.

    An epoch is a single step. Everything else works as in `GradientTrainer`. Optimizer, schedule, batch size and
    clipping are unused.
    """

    requires = {"model": EMModel, "objective": LogLikelihood}

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

    def steps_per_epoch(self, num_examples: int) -> int:
        return 1

    def make_loop(
        self, model: nn.Module, objective: Objective, data: LoadedDataset, context: RunContext
    ) -> TrainingLoop:
        return _EMTraining(self, model, objective, data, context)


class _EMTraining(TrainingLoop):
    """Training loop whose step is an EM step on the statistics of all training examples."""

    model: EMModel

    def __init__(self, *arguments):
        super().__init__(*arguments)
        rng.reseed(self.context.seed, "moments")
        try:
            self.statistics = self.model.compute_statistics(self.data.train)
        except ValueError as error:
            raise ConfigError(f"dataset: {error}") from None

    def _begin_epoch(self, epoch: int) -> None:
        """Does nothing: EM needs only the moments of the examples."""

    def _advance_schedule(self, monitored: float | None) -> None:
        """Does nothing: EM has no learning rate."""

    def _step(self, position: int) -> None:
        log_p = self.model.em_step(self.statistics)
        self._end_step(position, {"loss": -log_p, "log_likelihood": log_p}, len(self.data.train))
