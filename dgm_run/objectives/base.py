"""Base of objectives, which define what training minimises."""

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.estimators.base import ProgressCallback, no_progress

LOG_DENSITY_TERMS = frozenset(
    ("elbo", "iwae", "renyi", "log_likelihood", "reconstruction", "labelled_elbo", "baseline")
)
"""Terms that are log densities of x, which logs convert to the units of the data."""


def convert_to_data_units(terms: dict[str, float], examples: DataSplit) -> dict[str, float]:
    """Converts means of log densities over these examples from model units to data units."""
    if examples.standardization is None:
        return terms
    shift = examples.mean_log_det
    return {name: value + shift * (name in LOG_DENSITY_TERMS) for name, value in terms.items()}


M = TypeVar("M", bound=nn.Module, contravariant=True)
"""Kind of model that an objective goes with."""


class Progress(NamedTuple):
    """Progress of training.

    Attributes:
        epoch: number of epochs trained so far, a scalar tensor, for schedules.
        state: state that the objective keeps from step to step and changes in place.
    """

    epoch: Tensor
    state: dict[str, Tensor]


class Objective(ABC, Generic[M]):
    """Objective: a frozen dataclass of settings, called on a model and a batch.

    Attributes:
        requires: class that each other group must have.
        monitor: named term that chooses the checkpoint on validation data; larger is better.
    """

    requires: ClassVar[dict[str, type]] = {}
    monitor: ClassVar[str]

    @property
    def num_warmup_epochs(self) -> int:
        """Number of first epochs over which the loss changes its form; early stopping waits for their end."""
        return 0

    def init_state(self, model: M, x: Tensor) -> dict[str, Tensor]:
        """Creates the state that the objective keeps from step to step, as chains and averages, by name.

        Checkpoints contain it. It also refuses, before the first step, a model that the objective cannot train.

        Args:
            model: the initial model.
            x: training examples, (N, *shape).

        Raises:
            ConfigError: the objective cannot train this model.
        """
        return {}

    @abstractmethod
    def __call__(self, model: M, x: Tensor, progress: Progress | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Computes the loss to minimise and the named terms to report, each a scalar mean over the batch, in nats.

        The terms do not depend on settings of the loss: they have beta = 1 and no free bits.

        Args:
            model: model of the class in `requires`.
            x: (B, *shape).
            progress: progress of training; None in evaluation, where schedules have their final values.
        """

    def step(self, model: M, train: DataSplit, index: Tensor, progress: Progress) -> tuple[Tensor, dict[str, Tensor]]:
        """Computes loss and terms of a training step on the examples at `index`, (B,).

        Most objectives use these examples only.
        """
        return self(model, train.batch(index), progress)

    def project_parameters(self, model: M) -> None:
        """Projects parameters onto their valid range after an optimizer step."""

    @torch.no_grad()
    def evaluate(
        self, model: M, data: LoadedDataset, batch_size: int, report: ProgressCallback = no_progress
    ) -> dict[str, float]:
        """Computes the means of the named terms over the validation examples.

        Args:
            model: model in evaluation mode.
            data: data set whose validation examples are used.
            batch_size: number of examples at a time.
            report: callback for the progress, as (parts done, parts in all); it may raise.
        """

        def repeat_means(x: Tensor) -> dict[str, Tensor]:
            _, terms = self(model, x)
            # each example counts with the mean of its batch, so that a smaller last batch has its right weight
            return {name: value.double().expand(len(x)) for name, value in terms.items()}

        rows = data.valid.map_batches(batch_size, repeat_means, report)
        return dict(zip(rows, torch.stack(list(rows.values())).mean(1).tolist(), strict=True))


def linear_warmup(progress: Progress | None, num_epochs: int) -> Tensor | float:
    """Computes min(1, (epoch + 1) / num_epochs): the first epoch trains at 1 / num_epochs, not at zero."""
    if progress is None or num_epochs == 0:
        return 1.0
    return torch.clamp((progress.epoch.floor() + 1) / num_epochs, max=1.0)


LOGISTIC_RANGE = 12.5
"""Length of the warm-up on the logistic curve's axis: 0.0025 a step over 5,000 steps."""


def logistic_warmup(progress: Progress | None, num_epochs: int) -> Tensor | float:
    """Computes 1 / (1 + exp(-12.5 (t - 1/2))) at the fraction t of the epochs, 0.002 to 0.998; then 1."""
    if progress is None or num_epochs == 0:
        return 1.0
    epoch = progress.epoch.floor() + 1
    rising = torch.sigmoid(LOGISTIC_RANGE * (epoch / num_epochs - 0.5))
    return torch.where(epoch > num_epochs, torch.ones_like(rising), rising)
