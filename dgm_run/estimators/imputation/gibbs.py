"""Gibbs sampling of the missing elements with the observed ones held fixed."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dgm_run.data.corruptions import Corruption, Missing
from dgm_run.estimators.imputation.imputer import Chain, Imputations
from dgm_run.models.energy.base import UnnormalizedModel


@dataclass(frozen=True)
class Gibbs(Chain[UnnormalizedModel]):
    """The Gibbs chain of a Boltzmann machine or a belief network; the mean imputation averages its states.

    Args:
        num_steps: number of steps of the chain.
        burn_in: number of first steps that are dropped.
    """

    num_steps: int
    burn_in: int

    requires = UnnormalizedModel

    def supports(self, model: nn.Module, corrupt: Corruption) -> bool:
        return super().supports(model, corrupt) and isinstance(corrupt, Missing)

    @torch.no_grad()
    def __call__(self, model: UnnormalizedModel, x_tilde: Tensor, corrupt: Corruption, num_draws: int) -> Imputations:
        observed = ~x_tilde.isnan()
        start = torch.where(observed, x_tilde, model.sample(len(x_tilde), num_steps=self.burn_in + 1))
        kept = set(torch.linspace(self.burn_in, self.num_steps - 1, num_draws).round().int().tolist())
        draws = []
        total = torch.zeros_like(start)
        for step, x in zip(range(self.num_steps), model.iterate_completions(start, observed), strict=False):
            if step >= self.burn_in:
                total += x
            if step in kept:
                draws.append(x.clone())
        return Imputations(total / (self.num_steps - self.burn_in), torch.stack(draws), None, {})
