"""Persistent contrastive divergence with fast weights.

Source: T. Tieleman, G. Hinton, Using fast weights to improve persistent contrastive divergence, 2009.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_run.models.energy.base import EnergyModel
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.base import EnergyObjective, Phases, data_against


@dataclass(frozen=True)
class FastPersistentContrastiveDivergence(EnergyObjective[EnergyModel]):
    """Persistent chains that move under parameters theta + fast, which make them leave where they have been.

    The fast parameters follow the same gradient at a learning rate of their own and decay: they exist for the
    chains alone.

    Args:
        num_steps: k, sweeps a step.
        num_chains: how many there are.
        fast_lr: learning rate of the fast parameters.
        fast_decay: what is left of them after a step; 19/20 in the source.

    Raises:
        ValueError: there is no sweep or no chain, the rate is negative, or the decay lies outside [0, 1).
    """

    num_steps: int
    num_chains: int
    fast_lr: float
    fast_decay: float

    def __post_init__(self):
        super().__post_init__()
        if min(self.num_steps, self.num_chains) < 1:
            raise ValueError("num_steps and num_chains must be positive")
        if self.fast_lr < 0:
            raise ValueError(f"fast_lr = {self.fast_lr} must not be negative")
        if not 0 <= self.fast_decay < 1:
            raise ValueError(f"fast_decay = {self.fast_decay} must lie in [0, 1)")

    def init_state(self, model: EnergyModel, x: Tensor) -> dict[str, Tensor]:
        fast = {f"fast_{name}": torch.zeros_like(value.detach()) for name, value in model.named_parameters()}
        return super().init_state(model, x) | {"chains": model.sample_base(self.num_chains)} | fast

    def phases(self, model: EnergyModel, states: Tensor, preactivations: Tensor, progress: Progress) -> Phases:
        v, _ = _moved(model, progress.memory).gibbs(progress.memory["chains"], self.num_steps)
        progress.memory["chains"].copy_(v)
        return data_against(model, states, preactivations, v, model.preactivations(v))

    def learned(self, gradients: dict[str, Tensor], memory: dict[str, Tensor]) -> None:
        for name, gradient in gradients.items():
            memory[f"fast_{name}"].mul_(self.fast_decay).sub_(gradient, alpha=self.fast_lr)


def _moved(model: EnergyModel, memory: dict[str, Tensor]) -> EnergyModel:
    """The model at theta + fast; all but the parameters is shared."""
    moved = copy.copy(model)
    fast = {name: value + memory[f"fast_{name}"] for name, value in model.named_parameters()}
    vars(moved)["_parameters"] = fast  # tensors that are no parameters
    return moved
