"""Likelihood of a density network, estimated from draws of the prior.

Source: D. MacKay, Bayesian neural networks and density networks, 1995.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_run.errors import ConfigError
from dgm_run.models.base import effective_sample_size, log_mean_exp
from dgm_run.models.latent.density_network import DensityNetwork
from dgm_run.objectives.base import Objective, Progress
from dgm_run.priors.standard import StandardPrior


@dataclass(frozen=True)
class MonteCarlo(Objective[DensityNetwork]):
    """log 1/S sum_s p(x | z_s), with the same S draws of the prior for all examples of a batch.

    Its mean lies below log p(x): it is the importance-weighted bound with the prior as q.

    Args:
        num_samples: S.
        resample: whether each step has new draws; otherwise the initial draws stay, as a fixed grid.
        quasi_random: whether draws are scrambled Sobol points, for the standard prior.

    Raises:
        ValueError: there is no draw.
    """

    num_samples: int
    resample: bool
    quasi_random: bool

    requires = {"model": DensityNetwork}
    monitor = "log_likelihood"

    def __post_init__(self):
        if self.num_samples < 1:
            raise ValueError(f"num_samples = {self.num_samples}: at least one is needed")

    def init_state(self, model: DensityNetwork, x: Tensor) -> dict[str, Tensor]:
        if self.quasi_random and not isinstance(model.prior, StandardPrior):
            raise ConfigError("objective.quasi_random=true needs prior=standard: choose it, or set false")
        return {} if self.resample else {"z": self._draw(model)}

    def __call__(
        self, model: DensityNetwork, x: Tensor, progress: Progress | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        z = self._draw(model) if self.resample or progress is None else progress.state["z"]
        log_px = model.log_likelihoods(x, z).T  # (S, B)
        log_p = log_mean_exp(log_px).mean()
        ess = effective_sample_size(log_px.detach()).median()
        return -log_p, {"log_likelihood": log_p, "ess": ess}

    @torch.no_grad()
    def _draw(self, model: DensityNetwork) -> Tensor:
        """Draws z from the prior, (S, L)."""
        p = model.latent_prior()
        if not self.quasi_random:
            return p.sample((self.num_samples,))
        seed = int(torch.randint(2**31, ()))
        points = torch.quasirandom.SobolEngine(model.latent_dim, scramble=True, seed=seed).draw(self.num_samples)
        like = p.mean
        return torch.special.ndtri(points.double().clamp(1e-9, 1 - 1e-9)).to(like.device, like.dtype)
