"""Amortised Stein variational gradient descent.

Sources: Y. Feng, D. Wang, Q. Liu, Learning to draw samples with amortized Stein variational gradient descent, 2017,
https://arxiv.org/abs/1707.06626; Y. Pu et al., VAE learning via Stein variational gradient descent, 2017,
https://arxiv.org/abs/1704.05155.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_run.models.base import ContinuousLatentModel
from dgm_run.objectives.base import Progress
from dgm_run.objectives.implicit import ImplicitObjective, evaluate_joint_and_score
from dgm_run.samplers.svgd import squared_stein_discrepancy, svgd_direction


@dataclass(frozen=True)
class Stein(ImplicitObjective[ContinuousLatentModel]):
    """Amortised SVGD: the particles are samples of q(z | x), and q moves them in the SVGD direction.

    The loss of q is - sum_i phi_i'z_i with a fixed direction phi; p learns from log p(x, z) at the particles. Only the
    other particles move a particle: the particles are new draws of q at every step and do not converge as one set. A
    particle's own score would pull all of them to the mode, in 40 dimensions almost entirely.
    """

    def __call__(
        self, model: ContinuousLatentModel, x: Tensor, progress: Progress | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        z = model.infer(x).rsample((self.num_samples,))
        joint, score, log_px = evaluate_joint_and_score(model, x, z.detach(), create_graph=False)
        with torch.no_grad():
            phi = svgd_direction(z, score, is_self_excluded=True)
            discrepancy = squared_stein_discrepancy(z, score)
        loss = -(phi * z).sum(-1).mean() - joint.mean()
        return loss + model.auxiliary_loss(), {
            "log_joint": joint.detach().mean(),
            "reconstruction": log_px.detach().mean(),
            "squared_stein_discrepancy": discrepancy.mean(),
        }
