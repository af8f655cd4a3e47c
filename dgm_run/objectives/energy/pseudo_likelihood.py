"""Maximum pseudo-likelihood.

Source: J. Besag, Statistical analysis of non-lattice data, 1975; for Boltzmann machines: B. Marlin et al.,
Inductive principles for restricted Boltzmann machine learning, 2010.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.models.energy.base import EnergyModel, repeat_batch
from dgm_run.models.energy.binary_states import BinaryEnergyModel, flip_one
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.base import EnergyObjective, Phases


@dataclass(frozen=True)
class PseudoLikelihood(EnergyObjective[BinaryEnergyModel]):
    """sum_d log p(x_d | all other pixels), estimated from `num_flips` pixels of each example, redrawn every step.

    p(x_d | rest) = sigmoid(F(x with pixel d flipped) - F(x)), so Z cancels. It is no likelihood, and exceeds it.

    Args:
        num_flips: pixels of each example in each step.

    Raises:
        ValueError: `num_flips` is not positive.
    """

    num_flips: int

    requires = {"model": BinaryEnergyModel}

    def __post_init__(self):
        super().__post_init__()
        if self.num_flips < 1:
            raise ValueError(f"num_flips = {self.num_flips}: at least one is needed")

    def phases(self, model: EnergyModel, states: Tensor, preactivations: Tensor, progress: Progress) -> Phases:
        flipped = flip_one(repeat_batch(states, self.num_flips))  # (S B, *shape)
        flipped_preactivations = model.preactivations(flipped)
        log_f = model.log_unnormalized(states, preactivations).repeat(self.num_flips)  # (S B,)
        log_f_flipped = model.log_unnormalized(flipped, flipped_preactivations)
        gain = log_f - log_f_flipped  # log-odds of x_d given the rest
        scale = states[0].numel() / len(flipped)
        weights = scale * torch.sigmoid(-gain)  # d(-log sigmoid(gain)) / d F
        return Phases(
            torch.cat([states, flipped]),
            torch.cat([preactivations, flipped_preactivations]),
            torch.cat([weights.view(self.num_flips, -1).sum(0), -weights]),
            -scale * F.logsigmoid(gain).sum(),
        )
