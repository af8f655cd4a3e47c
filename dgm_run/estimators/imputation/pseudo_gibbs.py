"""Pseudo-Gibbs sampling.

Source: D. J. Rezende, S. Mohamed, D. Wierstra, Stochastic backpropagation and approximate inference in deep generative
models, 2014, https://arxiv.org/abs/1401.4082 (appendix F).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dgm_run.data.corruptions import Corruption
from dgm_run.estimators.imputation.imputer import Chain, Imputed, alternate, sees_through
from dgm_run.models.base import LatentVariableModel


@dataclass(frozen=True)
class PseudoGibbs(Chain[LatentVariableModel]):
    """z from q(z | x) and x from p(x | z, x~), in turn. As far from p(x | x~) as q is from the posterior.

    Where q is the posterior, as in factor analysis, this is Gibbs sampling.

    Args:
        num_steps: of the chain.
        burn_in: of them that do not count.
    """

    num_steps: int
    burn_in: int

    requires = LatentVariableModel
    shows_complete = True

    def fits(self, model: nn.Module, corrupt: Corruption) -> bool:
        return super().fits(model, corrupt) and sees_through(model, corrupt)

    @torch.no_grad()
    def __call__(self, model: LatentVariableModel, seen: Tensor, corrupt: Corruption, num_draws: int) -> Imputed:
        def move(x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
            return model.infer(x).sample(), torch.ones_like(z[:, 0])

        found = alternate(model, seen, corrupt, move, range(self.burn_in, self.num_steps), num_draws)
        return found._replace(seen={})
