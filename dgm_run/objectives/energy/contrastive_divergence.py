"""Contrastive divergence.

Source: G. Hinton, Training products of experts by minimizing contrastive divergence, 2002.
"""

from dataclasses import dataclass

from torch import Tensor

from dgm_run.models.energy.base import EnergyModel
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.base import EnergyObjective, Phases, check_num_steps, contrast_phases, num_sweeps


@dataclass(frozen=True)
class ContrastiveDivergence(EnergyObjective[EnergyModel]):
    """CD-k: data against samples after `num_steps` Gibbs sweeps from the data.

    States are sampled throughout; the last hidden units enter with their probabilities, as those of the data do.

    Args:
        num_steps: k, number of sweeps.
        grow_every: number of epochs after which k grows by one; null for a constant k.

    Raises:
        ValueError: there is no sweep, or `grow_every` is not positive.
    """

    num_steps: int
    grow_every: int | None

    def __post_init__(self):
        super().__post_init__()
        check_num_steps(self.num_steps, self.grow_every)

    def phases(self, model: EnergyModel, states: Tensor, preactivations: Tensor, progress: Progress) -> Phases:
        k = num_sweeps(progress, self.num_steps, self.grow_every)
        v, v_preactivations = model.gibbs(states, k, preactivations)
        return contrast_phases(model, states, preactivations, v, v_preactivations)
