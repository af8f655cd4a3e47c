"""Persistent contrastive divergence, also known as stochastic maximum likelihood.

Source: T. Tieleman, Training restricted Boltzmann machines using approximations to the likelihood gradient, 2008.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_run.models.energy.base import EnergyModel
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.base import EnergyObjective, Phases, contrast_phases


@dataclass(frozen=True)
class PersistentContrastiveDivergence(EnergyObjective[EnergyModel]):
    """Data against chains that continue from step to step and are saved in checkpoints.

    The chains follow the model only if it moves slowly: the learning rate has to fall to zero (schedule=linear).

    Args:
        num_steps: k, sweeps in each step.
        num_chains: number of chains.

    Raises:
        ValueError: there is no sweep or no chain.
    """

    num_steps: int
    num_chains: int

    def __post_init__(self):
        super().__post_init__()
        if min(self.num_steps, self.num_chains) < 1:
            raise ValueError(f"num_steps = {self.num_steps} and num_chains = {self.num_chains} must be positive")

    @torch.no_grad()
    def init_state(self, model: EnergyModel, x: Tensor) -> dict[str, Tensor]:
        chains = model.sample_base(self.num_chains)
        return super().init_state(model, x) | {"chains": chains, "chain_preactivations": model.preactivations(chains)}

    def phases(self, model: EnergyModel, states: Tensor, preactivations: Tensor, progress: Progress) -> Phases:
        state = progress.state
        # the hidden units of the last step, as in the source, which saves a product
        v, v_preactivations = model.gibbs(state["chains"], self.num_steps, state["chain_preactivations"])
        state["chains"].copy_(v)
        state["chain_preactivations"].copy_(v_preactivations)
        return contrast_phases(model, states, preactivations, v, v_preactivations)
