"""What the objectives of posteriors without a density share: p(x, z) and its score, and what is watched."""

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from dgm_run.data.dataset import LoadedDataset
from dgm_run.estimators.base import ProgressCallback, no_progress
from dgm_run.models.base import ContinuousLatentModel, log_mean_exp
from dgm_run.objectives.base import Objective
from dgm_run.posteriors.base import Posterior

WATCHED_SAMPLES = 50
"""Importance samples of every validation example, from the Gaussian that stands for its posterior."""

M = TypeVar("M", bound=ContinuousLatentModel, contravariant=True)


@dataclass(frozen=True)
class ImplicitObjective(Objective[M]):
    """Moves samples of q(z | x), not a bound: there is no log q in it.

    The checkpoint is chosen by log p(x) of the validation data, by importance sampling from a Gaussian fitted to
    samples of q. A lower bound in the mean, as any such estimate.

    Args:
        num_samples: particles of each example.

    Raises:
        ValueError: there are too few particles.
    """

    num_samples: int

    requires = {"model": ContinuousLatentModel, "posterior": Posterior}
    monitor = "iwae"

    def __post_init__(self):
        if self.num_samples < 2:
            raise ValueError(f"num_samples = {self.num_samples}: at least two are needed")

    @torch.no_grad()
    def evaluate(
        self, model: M, data: LoadedDataset, batch_size: int, report: ProgressCallback = no_progress
    ) -> dict[str, float]:
        p = model.latent_prior()

        def find(x: Tensor) -> dict[str, Tensor]:
            q = model.infer(x).proposal()
            # no more at a time than a step of training has
            parts = [
                model.evaluate_terms(x, q, p, min(self.num_samples, WATCHED_SAMPLES - done))
                for done in range(0, WATCHED_SAMPLES, self.num_samples)
            ]
            log_w = torch.cat([terms.log_w for terms in parts]).double()
            log_px = torch.cat([terms.log_px for terms in parts]).double()
            return {
                "iwae": log_mean_exp(log_w),
                "elbo": log_w.mean(0),
                "reconstruction": log_px.mean(0),
                "kl": (log_px - log_w).mean(0),
            }

        rows = data.valid.map_batches(batch_size, find, report)
        return {name: values.mean().item() for name, values in rows.items()}


def joint_and_score(
    model: ContinuousLatentModel, x: Tensor, z: Tensor, create_graph: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """log p(x, z) at these z, its gradient in z, and log p(x | z): (S, B), (S, B, L), (S, B)."""
    with torch.enable_grad():
        z = z if z.requires_grad else z.requires_grad_()
        log_px = model.decode(z).log_prob(x)
        joint = log_px + model.latent_prior().log_prob(z)
        (score,) = torch.autograd.grad(joint.sum(), z, retain_graph=True, create_graph=create_graph)
    return joint, score, log_px
