"""p(x | x~) of linear Gaussian models, in closed form."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_run.data.corruptions import Corruption
from dgm_run.estimators.imputation.imputer import Imputations, Imputer
from dgm_run.models.linear.factor_analysis import FactorAnalysis


@dataclass(frozen=True)
class Exact(Imputer[FactorAnalysis]):
    """Exact imputation: z is drawn from its exact posterior, and the mean of x is linear in the mean of z."""

    requires = FactorAnalysis
    is_exact = True

    @torch.no_grad()
    def __call__(self, model: FactorAnalysis, x_tilde: Tensor, corrupt: Corruption, num_draws: int) -> Imputations:
        q = model.infer_from_corrupted(x_tilde, corrupt)
        mean = corrupt.posterior_of_x(model.decode(q.mean), x_tilde).mean
        draws = corrupt.posterior_of_x(model.decode(q.sample((num_draws,))), x_tilde).sample()
        return Imputations(mean, draws, model.log_prob_of_corrupted(x_tilde, corrupt), {})
