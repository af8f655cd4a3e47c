"""Contrastive divergence.

Source: G. Hinton, Training products of experts by minimizing contrastive divergence, 2002.
"""

from dataclasses import dataclass

from torch import Tensor

from dgm_run.models.base import EnergyModel
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy import EnergyObjective


@dataclass(frozen=True)
class ContrastiveDivergence(EnergyObjective):
    """The draws come from `num_steps` sweeps of Gibbs sampling that start at the data.

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

    def draws(self, model: EnergyModel, x: Tensor, fields: Tensor, progress: Progress) -> tuple[Tensor, Tensor, Tensor]:
        v, v_fields = model.gibbs(x, self.num_steps, fields)
        return v, v_fields, v_fields.new_full((len(v),), 1 / len(v))
