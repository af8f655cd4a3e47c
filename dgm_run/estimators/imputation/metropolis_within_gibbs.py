"""Metropolis-within-Gibbs sampling.

Source: P.-A. Mattei, J. Frellsen, Leveraging the exact likelihood of deep latent variable models, 2018,
https://arxiv.org/abs/1802.04826 (section 4.2).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.data.corruptions import Corruption
from dgm_run.estimators.imputation.imputer import Chain, Imputations, has_observed_density, run_chain
from dgm_run.models.base import LatentVariableModel


@dataclass(frozen=True)
class MetropolisWithinGibbs(Chain[LatentVariableModel]):
    """Pseudo-Gibbs sampling with a Metropolis-Hastings test of each proposed z: it converges to p(x | x~).

    Args:
        num_steps: number of steps of the chain.
        burn_in: number of first steps that are dropped.
        num_trusted: number of first steps that accept every z; else a chain may never leave a start of large weight.
    """

    num_steps: int
    burn_in: int
    num_trusted: int

    requires = LatentVariableModel
    encodes_complete = True

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.num_trusted <= self.burn_in:
            raise ValueError(f"num_trusted = {self.num_trusted} must lie between 0 and burn_in = {self.burn_in}")

    @torch.no_grad()
    def supports(self, model: nn.Module, corrupt: Corruption) -> bool:
        """Returns whether the chain can run, which also needs the density of q(z | x) at every z."""
        if not super().supports(model, corrupt) or not has_observed_density(model, corrupt):
            return False
        assert isinstance(model, LatentVariableModel)
        z = model.latent_prior().sample((1,))
        try:
            model.infer(model.generate(1).sample()).log_prob(z)
        except NotImplementedError:
            return False
        return True

    @torch.no_grad()
    def __call__(self, model: LatentVariableModel, x_tilde: Tensor, corrupt: Corruption, num_draws: int) -> Imputations:
        prior = model.latent_prior()
        step = iter(range(self.num_steps))

        def move(x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
            q = model.infer(x)
            proposed = q.sample()
            log_w = [model.decode(each).log_prob(x) + prior.log_prob(each) - q.log_prob(each) for each in (z, proposed)]
            is_accepted = rng.uniform_like(log_w[0]).log() < log_w[1] - log_w[0]
            if next(step) < self.num_trusted:
                is_accepted = torch.ones_like(is_accepted)
            return torch.where(is_accepted.unsqueeze(-1), proposed, z), is_accepted

        return run_chain(model, x_tilde, corrupt, move, range(self.burn_in, self.num_steps), num_draws)
