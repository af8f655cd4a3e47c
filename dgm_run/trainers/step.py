"""Interface of training steps."""

# ruff: noqa: B027 - a step without a state has nothing to do in most methods

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor


class Step(ABC):
    """Update of a model's parameters on a batch, called by the training loop.

    A step that has a state of its own, an optimizer for example, saves it in checkpoints.
    """

    @abstractmethod
    def __call__(self, index: Tensor, number: int) -> dict[str, Tensor]:
        """Updates the parameters.

        Args:
            index: positions of the examples of the batch, (B,).
            number: number of the step in the training, from 0, which keys its random numbers.

        Returns:
            Loss and named terms, scalars on the device: means over the batch, or this process's contributions to them.
        """

    @property
    def learning_rate(self) -> float | None:
        """Present learning rate; None for a step without one."""
        return None

    def begin_epoch(self, epoch: int) -> None:
        """Prepares the steps of an epoch, counted from 0."""

    def end_epoch(self, monitored: float | None) -> None:
        """Advances the learning rate after a whole epoch; `monitored` is the validation value, if there was one."""

    def prefetch(self, batches: Iterable[Tensor]) -> None:
        """Starts to read the examples of the batches at these positions."""

    def describe_problems(self, values: Mapping[str, float]) -> Iterator[str]:
        """Yields warnings about values that an epoch logged; each is printed once."""
        return iter(())

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of the step, for checkpoints. All processes call it together."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a state of `state_dict`."""
