"""Contrastive divergence.

Source: G. Hinton, Training products of experts by minimizing contrastive divergence, 2002.
"""

from dataclasses import dataclass

from torch import Tensor

from dgm_run.models.energy.base import EnergyModel
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.base import EnergyObjective, Phases, check_num_steps, data_against, num_sweeps


@dataclass(frozen=True)
class ContrastiveDivergence(EnergyObjective[EnergyModel]):
    """The data against where `num_steps` sweeps of Gibbs sampling lead from them.

    States are sampled throughout; the last hidden units count with their probabilities, as those of the data do.

    Args:
        num_steps: k, sweeps.
        grow_every: epochs after which there is one more; null for as many throughout.

    Raises:
        ValueError: there is no sweep, or `grow_every` is not positive.
    """

    num_steps: int
    grow_every: int | None

    def __post_init__(self):
        super().__post_init__()
        check_num_steps(self.num_steps, self.grow_every)

    def phases(self, model: EnergyModel, states: Tensor, preactivations: Tensor, progress: Progress) -> Phases:
        return data_against(
            model,
            states,
            preactivations,
            *model.gibbs(states, num_sweeps(progress, self.num_steps, self.grow_every), preactivations),
        )
