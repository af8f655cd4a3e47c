"""What is minimised."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn


class Objective(ABC):
    """A frozen dataclass of settings, called on a model and a batch.

    Attributes:
        requires: the kinds of the other groups it goes with.
        monitor: the named term that chooses the checkpoint on validation data; larger is better.
    """

    requires: ClassVar[dict[str, type]] = {}
    monitor: ClassVar[str]

    @property
    def settles_after(self) -> int:
        """Epochs after which the loss no longer changes its form; early stopping waits for them."""
        return 0

    @abstractmethod
    def __call__(self, model: nn.Module, x: Tensor, epoch: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimise and the named terms to report, each a scalar mean over the batch, in nats.

        The terms are what they are called, whatever the loss does: at beta = 1, without free bits.

        Args:
            model: of the kind in `requires`.
            x: (B, *shape).
            epoch: epochs trained so far, as a scalar tensor, for schedules; None once they have ended.
        """


def linear_warmup(epoch: Tensor | None, num_epochs: int) -> Tensor | float:
    """min(1, (epoch + 1) / num_epochs): the first epoch trains at 1 / num_epochs, not at zero."""
    if epoch is None or num_epochs == 0:
        return 1.0
    return torch.clamp((epoch.floor() + 1) / num_epochs, max=1.0)
