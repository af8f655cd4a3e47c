"""p(x | x~) of linear Gaussian models, in closed form."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_run.data.corruptions import Corruption
from dgm_run.estimators.imputation.imputer import Imputed, Imputer
from dgm_run.models.linear.factor_analysis import FactorAnalysis


@dataclass(frozen=True)
class Exact(Imputer[FactorAnalysis]):
    """z is drawn from its exact posterior; the mean of x is linear in that of z."""

    requires = FactorAnalysis
    is_exact = True

    @torch.no_grad()
    def __call__(self, model: FactorAnalysis, seen: Tensor, corrupt: Corruption, num_draws: int) -> Imputed:
        q = model.infer_seen(seen, corrupt)
        mean = corrupt.posterior_of_x(model.decode(q.mean), seen).mean
        draws = corrupt.posterior_of_x(model.decode(q.sample((num_draws,))), seen).sample()
        return Imputed(mean, draws, model.log_prob_seen(seen, corrupt), {})
