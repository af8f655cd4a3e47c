"""Imputers: methods that draw the missing or noisy elements of an example from a model."""

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
from dgm_run.models.corrupted import CorruptedModel

M = TypeVar("M", bound=nn.Module)
"""Kind of model that an imputer goes with."""


class Imputations(NamedTuple):
    """Imputations of corrupted examples.

    Attributes:
        mean: E[x | x~], the single imputation, (B, *shape).
        draws: draws of p(x | x~), the multiple imputations, (K, B, *shape).
        log_p: log p(x~), (B,), nats; None where the method has no estimate of it.
        diagnostics: (B,) each, by name.
    """

    mean: Tensor
    draws: Tensor
    log_p: Tensor | None
    diagnostics: dict[str, Tensor]


@dataclass(frozen=True)
class Imputer(ABC, Generic[M]):
    """A method of imputation: a frozen dataclass of settings, called on a model.

    Attributes:
        requires: kind of model that the method accepts.
        is_exact: whether `log_p` is exact.
        encodes_complete: whether the method encodes complete examples; a model trained on corrupted ones cannot.
    """

    requires: ClassVar[type[nn.Module]]
    is_exact: ClassVar[bool] = False
    encodes_complete: ClassVar[bool] = False

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that stand beside its numbers."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "max_batch_rows"}

    @property
    def max_draws(self) -> float:
        """Largest number of draws of each example."""
        return math.inf

    def supports(self, model: nn.Module, corrupt: Corruption) -> bool:
        """Returns whether the method can impute with this model and corruption."""
        return isinstance(model, self.requires)

    @abstractmethod
    def __call__(self, model: M, x_tilde: Tensor, corrupt: Corruption, num_draws: int) -> Imputations:
        """Imputes examples.

        Args:
            model: a model of complete examples, in evaluation mode.
            x_tilde: x~, (B, *shape).
            corrupt: p(x~ | x).
            num_draws: K.
        """


def has_observed_density(model: nn.Module, corrupt: Corruption) -> bool:
    """Returns whether p(x~ | z) has a closed form, as where the elements of p(x | z) are independent."""
    assert isinstance(model, LatentVariableModel)
    try:
        CorruptedModel(model, corrupt)
    except ConfigError:
        return False
    return True


Move = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Maps a complete x and z, (B, L), to the next z and whether it is new, (B,)."""


def run_chain(
    model: LatentVariableModel, x_tilde: Tensor, corrupt: Corruption, move: Move, steps: range, num_draws: int
) -> Imputations:
    """Runs a chain that draws z by `move`, and x given z and x~; averages its means and thins its draws.

    Args:
        model: a model of complete examples.
        x_tilde: x~, (B, *shape).
        corrupt: p(x~ | x).
        move: draws the next z.
        steps: range(burn_in, num_steps), the steps that are averaged.
        num_draws: K, spread evenly over these steps.
    """
    z = model.infer_from_corrupted(x_tilde, corrupt).sample()
    kept = set(torch.linspace(steps.start, steps.stop - 1, num_draws).round().int().tolist())
    draws = []
    moved = torch.zeros(len(x_tilde), device=x_tilde.device)
    total = torch.zeros_like(x_tilde)
    for step in range(steps.stop):
        p = corrupt.posterior_of_x(model.decode(z), x_tilde)
        x = p.sample()
        if step in steps:
            total += p.mean
        if step in kept:
            draws.append(x)
        z, is_new = move(x, z)
        moved += is_new
    return Imputations(total / len(steps), torch.stack(draws), None, {"acceptance": moved / steps.stop})


@dataclass(frozen=True)
class Chain(Imputer[M]):
    """An imputer whose draws are states of a Markov chain.

    Args:
        num_steps: number of steps of the chain.
        burn_in: number of first steps that are dropped.
    """

    num_steps: int
    burn_in: int

    def __post_init__(self):
        if not 0 <= self.burn_in < self.num_steps:
            raise ValueError(f"burn_in = {self.burn_in} must lie between 0 and num_steps = {self.num_steps}")

    @property
    def max_draws(self) -> int:
        return self.num_steps - self.burn_in
