"""What is minimised."""

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from dgm_run.data.dataset import DataSplit, LoadedDataset
from dgm_run.estimators.base import ProgressCallback, no_progress

DENSITIES = frozenset(("elbo", "iwae", "renyi", "log_likelihood", "reconstruction", "labelled_elbo", "baseline"))
"""Terms that are log densities of x: they are logged in the units of the data."""


def in_data_units(terms: dict[str, float], examples: DataSplit) -> dict[str, float]:
    """Turns means over these examples, as the model sees them, into those of the data."""
    if examples.standardization is None:
        return terms
    shift = examples.mean_log_det
    return {name: value + shift * (name in DENSITIES) for name, value in terms.items()}


M = TypeVar("M", bound=nn.Module, contravariant=True)
"""Kind of model that an objective goes with."""


class Progress(NamedTuple):
    """How far training has come.

    Attributes:
        epoch: epochs trained so far, a scalar, for schedules.
        memory: what the objective carries from step to step and changes in place.
    """

    epoch: Tensor
    memory: dict[str, Tensor]


class Objective(ABC, Generic[M]):
    """A frozen dataclass of settings, called on a model and a batch.

    Attributes:
        requires: the kinds of the other groups it goes with.
        monitor: the named term that chooses the checkpoint on validation data; larger is better.
    """

    requires: ClassVar[dict[str, type]] = {}
    monitor: ClassVar[str]

    @property
    def num_warmup_epochs(self) -> int:
        """Epochs after which the loss no longer changes its form; early stopping waits for them."""
        return 0

    def init_state(self, model: M, x: Tensor) -> dict[str, Tensor]:
        """What this objective carries from step to step, as at the start: chains, averages. Kept in checkpoints.

        Args:
            model: as it starts.
            x: training examples, (N, *shape).
        """
        return {}

    @abstractmethod
    def __call__(self, model: M, x: Tensor, progress: Progress | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimise and the named terms to report, each a scalar mean over the batch, in nats.

        The terms are what they are called, whatever the loss does: at beta = 1, without free bits.

        Args:
            model: of the kind in `requires`.
            x: (B, *shape).
            progress: of the training; None outside of it, where schedules have ended.
        """

    def step(self, model: M, train: DataSplit, index: Tensor, progress: Progress) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and the terms of a training step on the examples at `index`, (B,); most see no more than these."""
        return self(model, train.batch(index), progress)

    def project_parameters(self, model: M) -> None:
        """Told that a step has changed the parameters: puts back those that left where they are allowed to be."""

    @torch.no_grad()
    def evaluate(
        self, model: M, data: LoadedDataset, batch_size: int, report: ProgressCallback = no_progress
    ) -> dict[str, float]:
        """The named terms over the validation examples, a ragged last batch weighted right.

        Args:
            model: in evaluation mode.
            data: whose validation examples are looked at.
            batch_size: examples at a time.
            report: told how far the work has come, as (parts done, parts in all); it may raise.
        """

        def find(x: Tensor) -> dict[str, Tensor]:
            _, terms = self(model, x)  # means over the block: each of its examples stands for one
            return {name: value.double().expand(len(x)) for name, value in terms.items()}

        rows = data.valid.map_batches(batch_size, find, report)
        return dict(zip(rows, torch.stack(list(rows.values())).mean(1).tolist(), strict=True))


def linear_warmup(progress: Progress | None, num_epochs: int) -> Tensor | float:
    """min(1, (epoch + 1) / num_epochs): the first epoch trains at 1 / num_epochs, not at zero."""
    if progress is None or num_epochs == 0:
        return 1.0
    return torch.clamp((progress.epoch.floor() + 1) / num_epochs, max=1.0)


LOGISTIC_RANGE = 12.5
"""Of the logistic curve, in its own units, from one end of the warm-up to the other: 0.0025 a step over 5,000 steps."""


def logistic_warmup(progress: Progress | None, num_epochs: int) -> Tensor | float:
    """1 / (1 + exp(-12.5 (t - 1/2))) at the share t of the epochs, 0.002 to 0.998; then 1."""
    if progress is None or num_epochs == 0:
        return 1.0
    epoch = progress.epoch.floor() + 1
    rising = torch.sigmoid(LOGISTIC_RANGE * (epoch / num_epochs - 0.5))
    return torch.where(epoch > num_epochs, torch.ones_like(rising), rising)
