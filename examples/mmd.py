"""An objective of your own: the evidence lower bound, with the aggregate posterior pulled towards the prior.

Source: S. Zhao, J. Song, S. Ermon, InfoVAE, 2019, https://arxiv.org/abs/1706.02262.

    dgm-run --config-dir conf objective=mmd objective.weight=10
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_run.models.base import ContinuousLatentModel
from dgm_run.objectives.base import Objective, Progress
from dgm_run.posteriors.base import ExplicitPosterior


@dataclass(frozen=True)
class MMD(Objective[ContinuousLatentModel]):
    """E_q log p(x | z) - kl_weight KL(q(z | x) || p(z)) - weight MMD(q(z), p(z)), with a Gaussian kernel.

    Args:
        weight: of the maximum mean discrepancy.
        kl_weight: of the KL term; 0 leaves the prior to the discrepancy alone.

    Raises:
        ValueError: a weight is negative.
    """

    weight: float
    kl_weight: float

    requires = {"model": ContinuousLatentModel, "posterior": ExplicitPosterior}
    monitor = "elbo"

    def __post_init__(self):
        if min(self.weight, self.kl_weight) < 0:
            raise ValueError("weight and kl_weight must not be negative")

    def __call__(
        self, model: ContinuousLatentModel, x: Tensor, progress: Progress | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        terms = model.sample_terms(x, 1)
        log_px = terms.log_px.mean()
        kl = (terms.log_qz - terms.log_pz).mean()
        mmd = squared_mmd(terms.z[0], terms.p.sample((len(x),)))
        loss = self.kl_weight * kl + self.weight * mmd - log_px
        return loss, {"elbo": log_px - kl, "reconstruction": log_px, "kl": kl, "mmd": mmd}


def squared_mmd(x: Tensor, y: Tensor) -> Tensor:
    """Returns the squared maximum mean discrepancy of two samples, (N, L) and (M, L), a scalar."""

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (-torch.cdist(a, b).square() / a.shape[1]).exp().mean()

    return kernel(x, x) + kernel(y, y) - 2 * kernel(x, y)
