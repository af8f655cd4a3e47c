"""Base of objectives for posteriors without a density: score of p(x, z), and validation by a Gaussian proposal."""

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from dgm_run.data.dataset import LoadedDataset
from dgm_run.estimators.base import ProgressCallback, no_progress
from dgm_run.models.base import ContinuousLatentModel, log_mean_exp
from dgm_run.objectives.base import Objective
from dgm_run.posteriors.base import Posterior

VALIDATION_SAMPLES = 50
"""Number of importance samples for each validation example, from the Gaussian proposal of its posterior."""

M = TypeVar("M", bound=ContinuousLatentModel, contravariant=True)


@dataclass(frozen=True)
class ImplicitObjective(Objective[M]):
    """Base of objectives that move samples of q(z | x); without log q they have no bound.

    An estimate of log p(x) of the validation data chooses the checkpoint. Importance sampling from a Gaussian fitted to
    samples of q gives this estimate, on average a lower bound.

    Args:
        num_samples: particles for each example.

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

        def estimate_bounds(x: Tensor) -> dict[str, Tensor]:
            q = model.infer(x).proposal()
            # as many samples at a time as a training step, whose memory is known to suffice
            parts = [
                model.evaluate_terms(x, q, p, min(self.num_samples, VALIDATION_SAMPLES - done))
                for done in range(0, VALIDATION_SAMPLES, self.num_samples)
            ]
            log_w = torch.cat([terms.log_w for terms in parts]).double()
            log_px = torch.cat([terms.log_px for terms in parts]).double()
            return {
                "iwae": log_mean_exp(log_w),
                "elbo": log_w.mean(0),
                "reconstruction": log_px.mean(0),
                "kl": (log_px - log_w).mean(0),
            }

        rows = data.valid.map_batches(batch_size, estimate_bounds, report)
        return {name: values.mean().item() for name, values in rows.items()}


def evaluate_joint_and_score(
    model: ContinuousLatentModel, x: Tensor, z: Tensor, create_graph: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Computes log p(x, z), (S, B), its gradient in z, (S, B, L), and log p(x | z), (S, B).

    Args:
        model: model of p(x, z).
        x: (B, *shape).
        z: (S, B, L).
        create_graph: whether the gradient itself is differentiable.
    """
    with torch.enable_grad():
        z = z if z.requires_grad else z.requires_grad_()
        log_px = model.decode(z).log_prob(x)
        joint = log_px + model.latent_prior().log_prob(z)
        (score,) = torch.autograd.grad(joint.sum(), z, retain_graph=True, create_graph=create_graph)
    return joint, score, log_px
