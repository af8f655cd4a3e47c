"""Contrastive divergence.

Source: G. Hinton, Training products of experts by minimizing contrastive divergence, 2002.
"""

from dataclasses import dataclass

from torch import Tensor

from dgm_run.models.energy import EnergyModel
from dgm_run.objectives.energy import EnergyObjective, Phases, data_against


@dataclass(frozen=True)
class ContrastiveDivergence(EnergyObjective):
    """The data against where `num_steps` sweeps of Gibbs sampling lead from them.

    States are sampled throughout; the last hidden units count with their probabilities, as those of the data do.

    Args:
        num_steps: k, sweeps.

    Raises:
        ValueError: there is no sweep.
    """

    num_steps: int

    def __post_init__(self):
        super().__post_init__()
        if self.num_steps < 1:
            raise ValueError(f"num_steps = {self.num_steps}: at least one is needed")

    def phases(self, model: EnergyModel, x: Tensor, fields: Tensor, memory: dict[str, Tensor]) -> Phases:
        return data_against(model, x, fields, *model.gibbs(x, self.num_steps, fields))
