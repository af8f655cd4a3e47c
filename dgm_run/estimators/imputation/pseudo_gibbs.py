"""Pseudo-Gibbs sampling.

Source: D. J. Rezende, S. Mohamed, D. Wierstra, Stochastic backpropagation and approximate inference in deep generative
models, 2014, https://arxiv.org/abs/1401.4082 (appendix F).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dgm_run.data.corruptions import Corruption
from dgm_run.estimators.imputation.imputer import Chain, Imputations, has_observed_density, run_chain
from dgm_run.models.base import LatentVariableModel


@dataclass(frozen=True)
class PseudoGibbs(Chain[LatentVariableModel]):
    """A chain that draws z from q(z | x) and x from p(x | z, x~) in turn.

    Its equilibrium is as far from p(x | x~) as q is from the posterior. Where q is the posterior, as in factor
    analysis, this is Gibbs sampling.

    Args:
        num_steps: number of steps of the chain.
        burn_in: number of first steps that are dropped.
    """

    num_steps: int
    burn_in: int

    requires = LatentVariableModel
    encodes_complete = True

    def supports(self, model: nn.Module, corrupt: Corruption) -> bool:
        return super().supports(model, corrupt) and has_observed_density(model, corrupt)

    @torch.no_grad()
    def __call__(self, model: LatentVariableModel, x_tilde: Tensor, corrupt: Corruption, num_draws: int) -> Imputations:
        def move(x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
            return model.infer(x).sample(), torch.ones_like(z[:, 0])

        imputations = run_chain(model, x_tilde, corrupt, move, range(self.burn_in, self.num_steps), num_draws)
        return imputations._replace(diagnostics={})  # every move is accepted
