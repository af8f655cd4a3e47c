"""Metropolis-within-Gibbs sampling.

Source: P.-A. Mattei, J. Frellsen, Leveraging the exact likelihood of deep latent variable models, 2018,
https://arxiv.org/abs/1802.04826 (section 4.2).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.data.corruptions import Corruption
from dgm_run.estimators.imputation.imputer import Chain, Imputed, alternate, sees_through
from dgm_run.models.base import LatentVariableModel


@dataclass(frozen=True)
class MetropolisWithinGibbs(Chain[LatentVariableModel]):
    """Pseudo-Gibbs whose z is only offered, and taken by the rule of Metropolis and Hastings: it tends to p(x | x~).

    Args:
        num_steps: of the chain.
        burn_in: of them that do not count.
        num_trusted: the first steps, in which every z is taken: a start that no offer can match would never be left.
    """

    num_steps: int
    burn_in: int
    num_trusted: int

    requires = LatentVariableModel
    shows_complete = True

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.num_trusted <= self.burn_in:
            raise ValueError(f"num_trusted = {self.num_trusted} must lie between 0 and burn_in = {self.burn_in}")

    @torch.no_grad()
    def fits(self, model: nn.Module, corrupt: Corruption) -> bool:
        """Also q(z | x) has to be known at every z."""
        if not super().fits(model, corrupt) or not sees_through(model, corrupt):
            return False
        assert isinstance(model, LatentVariableModel)
        z = model.latent_prior().sample((1,))
        try:
            model.infer(model.generate(1).sample()).log_prob(z)
        except NotImplementedError:
            return False
        return True

    @torch.no_grad()
    def __call__(self, model: LatentVariableModel, seen: Tensor, corrupt: Corruption, num_draws: int) -> Imputed:
        prior, step = model.latent_prior(), iter(range(self.num_steps))

        def move(x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
            q = model.infer(x)
            offered = q.sample()
            log_w = [model.decode(each).log_prob(x) + prior.log_prob(each) - q.log_prob(each) for each in (z, offered)]
            taken = rng.uniform_like(log_w[0]).log() < log_w[1] - log_w[0]
            if next(step) < self.num_trusted:
                taken = torch.ones_like(taken)
            return torch.where(taken.unsqueeze(-1), offered, z), taken

        return alternate(model, seen, corrupt, move, range(self.burn_in, self.num_steps), num_draws)
