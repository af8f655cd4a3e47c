"""What may stand in the holes of an example, or behind its noise, by a model."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from dgm_run.data.corruptions import Corruption
from dgm_run.errors import ConfigError
from dgm_run.models.base import LatentVariableModel
from dgm_run.models.corrupted import Corrupted

M = TypeVar("M", bound=nn.Module)
"""Kind of model that an imputer goes with."""


class Imputed(NamedTuple):
    """Examples restored.

    Attributes:
        mean: E[x | x~], the single imputation, (B, *shape).
        draws: of p(x | x~), the multiple imputations, (K, B, *shape).
        log_p: log p(x~), (B,), nats, or None where the method does not know it.
        seen: what it saw of itself, (B,) each.
    """

    mean: Tensor
    draws: Tensor
    log_p: Tensor | None
    seen: dict[str, Tensor]


@dataclass(frozen=True)
class Imputer(ABC, Generic[M]):
    """A frozen dataclass of settings.

    Attributes:
        requires: the kind of model it goes with.
        is_exact: whether `log_p` is.
        shows_complete: whether it has q(z | x) look at complete examples; a model of corrupted ones has never seen any.
    """

    requires: ClassVar[type[nn.Module]]
    is_exact: ClassVar[bool] = False
    shows_complete: ClassVar[bool] = False

    @property
    def settings(self) -> dict[str, Any]:
        """What stands beside its numbers."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "max_batch_rows"}

    @property
    def max_draws(self) -> float:
        """How many draws it has to give of each example."""
        return math.inf

    def fits(self, model: nn.Module, corrupt: Corruption) -> bool:
        """Whether it can restore what this corruption leaves."""
        return isinstance(model, self.requires)

    @abstractmethod
    def __call__(self, model: M, seen: Tensor, corrupt: Corruption, num_draws: int) -> Imputed:
        """Restores examples.

        Args:
            model: of complete examples, in evaluation mode.
            seen: x~, (B, *shape).
            corrupt: p(x~ | x).
            num_draws: K.
        """


def sees_through(model: nn.Module, corrupt: Corruption) -> bool:
    """Whether p(x~ | z) is known, as it is where the elements of p(x | z) are independent."""
    assert isinstance(model, LatentVariableModel)
    try:
        Corrupted(model, corrupt)
    except ConfigError:
        return False
    return True


Move = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""A complete x and z, (B, L), to the next z and whether it is another, (B,)."""


def alternate(
    model: LatentVariableModel, seen: Tensor, corrupt: Corruption, move: Move, steps: range, num_draws: int
) -> Imputed:
    """A chain that draws z by `move`, and x given z and x~; its means are averaged and its last part is thinned.

    Args:
        steps: those that count, as a range of all: range(burn_in, num_steps).
    """
    z = model.infer_seen(seen, corrupt).sample()
    kept = set(torch.linspace(steps.start, steps.stop - 1, num_draws).round().int().tolist())
    draws, moved, total = [], torch.zeros(len(seen), device=seen.device), torch.zeros_like(seen)
    for step in range(steps.stop):
        p = corrupt.posterior_of_x(model.decode(z), seen)
        x = p.sample()
        if step in steps:
            total += p.mean
        if step in kept:
            draws.append(x)
        z, is_new = move(x, z)
        moved += is_new
    return Imputed(total / len(steps), torch.stack(draws), None, {"acceptance": moved / steps.stop})


@dataclass(frozen=True)
class Chain(Imputer[M]):
    """Gives the states of a chain.

    Args:
        num_steps: of the chain.
        burn_in: of them that do not count.
    """

    num_steps: int
    burn_in: int

    def __post_init__(self):
        if not 0 <= self.burn_in < self.num_steps:
            raise ValueError(f"burn_in = {self.burn_in} must lie between 0 and num_steps = {self.num_steps}")

    @property
    def max_draws(self) -> int:
        return self.num_steps - self.burn_in
