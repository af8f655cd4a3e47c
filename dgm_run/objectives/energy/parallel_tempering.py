"""Persistent chains at several temperatures that exchange their states.

Sources: G. Desjardins et al., Tempered Markov chain Monte Carlo for training of restricted Boltzmann machines,
2010; K. Cho, T. Raiko, A. Ilin, Parallel tempering is efficient for learning restricted Boltzmann machines, 2010.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_run import rng
from dgm_run.models.energy.base import EnergyModel
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.base import EnergyObjective, Phases, contrast_phases


@dataclass(frozen=True)
class ParallelTempering(EnergyObjective[EnergyModel]):
    """Data against chains at beta = 1, which exchange states with chains at lower beta.

    A step is a sweep of every chain, followed by proposed exchanges between neighbours r and r + 1. Even r come first,
    then odd r. An exchange is accepted with probability min(1, f_{r+1}(s_r) f_r(s_{r+1}) / (f_r(s_r)
    f_{r+1}(s_{r+1}))).

    Args:
        num_temperatures: R, number of equally spaced beta from 0 to 1.
        num_chains: number of chains at each temperature.

    Raises:
        ValueError: there are fewer than two temperatures, or no chain.
    """

    num_temperatures: int
    num_chains: int

    def __post_init__(self):
        super().__post_init__()
        if self.num_temperatures < 2:
            raise ValueError(
                f"num_temperatures = {self.num_temperatures} must be two or more; for one choose objective=pcd"
            )
        if self.num_chains < 1:
            raise ValueError(f"num_chains = {self.num_chains} must be positive")

    def init_state(self, model: EnergyModel, x: Tensor) -> dict[str, Tensor]:
        chains = model.sample_base(self.num_temperatures * self.num_chains)
        return super().init_state(model, x) | {"chains": chains}

    def phases(self, model: EnergyModel, states: Tensor, preactivations: Tensor, progress: Progress) -> Phases:
        chains = progress.state["chains"]  # (R * N, *shape), the hottest first
        betas = torch.linspace(0, 1, self.num_temperatures, device=states.device, dtype=preactivations.dtype)
        v = model.gibbs_step(chains, model.preactivations(chains), betas.repeat_interleave(self.num_chains))
        v_preactivations = model.preactivations(v)
        for first in (0, 1):
            order = self._exchange(model, v, v_preactivations, betas, first)
            v = v[order]
            v_preactivations = v_preactivations[order]
        chains.copy_(v)
        cold = slice(-self.num_chains, None)
        return contrast_phases(model, states, preactivations, v[cold], v_preactivations[cold])

    def _exchange(self, model: EnergyModel, v: Tensor, preactivations: Tensor, betas: Tensor, first: int) -> Tensor:
        """Proposes exchanges between temperatures r and r + 1, for r = first, first + 2, ...

        Returns:
            The index of the chain whose state each chain takes, (R N,).
        """
        chain = torch.arange(len(v), device=v.device).view(-1, self.num_chains)  # (R, N)
        end = (self.num_temperatures - first) // 2 * 2 + first
        hot = chain[first:end:2].flatten()
        cold = chain[first + 1 : end : 2].flatten()
        if not len(hot):
            return chain.flatten()
        beta_hot = betas[hot // self.num_chains]
        beta_cold = betas[cold // self.num_chains]
        log_ratio = model.log_ratio(v[hot], preactivations[hot], beta_hot, beta_cold)
        log_ratio += model.log_ratio(v[cold], preactivations[cold], beta_cold, beta_hot)
        is_accepted = rng.uniform_like(log_ratio).log() < log_ratio
        order = chain.flatten().clone()
        order[hot] = torch.where(is_accepted, cold, hot)
        order[cold] = torch.where(is_accepted, hot, cold)
        return order
