"""p(x | x~) of linear Gaussian models, in closed form."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_run.data.corruptions import Corruption
from dgm_run.estimators.imputation.imputer import Imputed, Imputer
from dgm_run.models.linear.factor_analysis import FactorAnalysis


@dataclass(frozen=True)
class Exact(Imputer[FactorAnalysis]):
    """Exact imputation: z is drawn from its exact posterior, and the mean of x is linear in the mean of z."""

    requires = FactorAnalysis
    is_exact = True

    @torch.no_grad()
    def __call__(self, model: FactorAnalysis, seen: Tensor, corrupt: Corruption, num_draws: int) -> Imputed:
        q = model.infer_from_corrupted(seen, corrupt)
        mean = corrupt.posterior_of_x(model.decode(q.mean), seen).mean
        draws = corrupt.posterior_of_x(model.decode(q.sample((num_draws,))), seen).sample()
        return Imputed(mean, draws, model.log_prob_of_corrupted(seen, corrupt), {})
