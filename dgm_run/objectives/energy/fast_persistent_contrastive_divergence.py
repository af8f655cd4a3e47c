"""Persistent contrastive divergence with fast weights.

Source: T. Tieleman, G. Hinton, Using fast weights to improve persistent contrastive divergence, 2009.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_run.models.energy.base import EnergyModel
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.base import EnergyObjective, Phases, contrast_phases


@dataclass(frozen=True)
class FastPersistentContrastiveDivergence(EnergyObjective[EnergyModel]):
    """PCD with chains that move under parameters theta + fast, which drive them away from visited states.

    The fast parameters follow the same gradient at their own learning rate, and decay. Only the chains use them.

    Args:
        num_steps: k, sweeps in each step.
        num_chains: number of chains.
        fast_lr: learning rate of the fast parameters.
        fast_decay: factor of the fast parameters after each step; 19/20 in the source.

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
            raise ValueError(f"num_steps = {self.num_steps} and num_chains = {self.num_chains} must be positive")
        if self.fast_lr < 0:
            raise ValueError(f"fast_lr = {self.fast_lr} must not be negative")
        if not 0 <= self.fast_decay < 1:
            raise ValueError(f"fast_decay = {self.fast_decay} must lie in [0, 1)")

    def init_state(self, model: EnergyModel, x: Tensor) -> dict[str, Tensor]:
        fast = {f"fast_{name}": torch.zeros_like(value.detach()) for name, value in model.named_parameters()}
        return super().init_state(model, x) | {"chains": model.sample_base(self.num_chains)} | fast

    def phases(self, model: EnergyModel, states: Tensor, preactivations: Tensor, progress: Progress) -> Phases:
        v, _ = _add_fast_parameters(model, progress.state).gibbs(progress.state["chains"], self.num_steps)
        progress.state["chains"].copy_(v)
        return contrast_phases(model, states, preactivations, v, model.preactivations(v))

    def record_gradient(self, gradients: dict[str, Tensor], state: dict[str, Tensor]) -> None:
        for name, gradient in gradients.items():
            state[f"fast_{name}"].mul_(self.fast_decay).sub_(gradient, alpha=self.fast_lr)


def _add_fast_parameters(model: EnergyModel, state: dict[str, Tensor]) -> EnergyModel:
    """Returns the model at theta + fast, which shares all but the parameters."""
    moved = copy.copy(model)
    fast = {name: value + state[f"fast_{name}"] for name, value in model.named_parameters()}
    vars(moved)["_parameters"] = fast  # plain tensors: an assignment of attributes would refuse them
    return moved
