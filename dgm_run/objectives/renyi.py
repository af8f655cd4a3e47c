"""Variational Renyi bound.

Source: Y. Li, R. E. Turner, Renyi divergence variational inference, NIPS 2016,
https://arxiv.org/abs/1602.02311.
"""

import math
from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from dgm_run.config.bounds import Range
from dgm_run.models.base import ContinuousLatentModel, log_mean_exp
from dgm_run.objectives.base import Objective, Progress
from dgm_run.objectives.iwae import report_bounds
from dgm_run.posteriors.base import ExplicitPosterior


@dataclass(frozen=True)
class Renyi(Objective[ContinuousLatentModel]):
    """L_alpha = 1/(1 - alpha) log E_q (p(x, z) / q(z | x))^(1 - alpha), estimated from S samples.

    It is non-increasing in alpha. alpha = 0 is the importance-weighted bound. alpha = -infinity ("-inf") is VR-max,
    which uses only the largest weight. For alpha below zero it is no lower bound of log p(x). So the
    importance-weighted bound of the same samples chooses the checkpoint.

    Args:
        num_samples: S; the paper's K.
        alpha: real number other than 1, or "-inf".

    Raises:
        ValueError: alpha is 1, +inf or not a number, or there is no sample.
    """

    num_samples: int
    alpha: Annotated[float, Range(infinite=True)]

    requires = {"model": ContinuousLatentModel, "posterior": ExplicitPosterior}
    monitor = "iwae"

    def __post_init__(self):
        if self.alpha == 1:
            raise ValueError("alpha = 1 is the ELBO: use objective=elbo")
        if math.isnan(self.alpha) or self.alpha == math.inf:
            raise ValueError(f"alpha = {self.alpha}: set a finite number other than 1, or -inf for VR-max")
        if self.num_samples < 1:
            raise ValueError(f"num_samples = {self.num_samples}: at least one is needed")

    def __call__(
        self, model: ContinuousLatentModel, x: Tensor, progress: Progress | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        terms = model.sample_terms(x, self.num_samples)
        bound = renyi_bound(terms.log_w, self.alpha).mean()
        return model.auxiliary_loss() - bound, {"renyi": bound.detach(), **report_bounds(terms)}


def renyi_bound(log_w: Tensor, alpha: float) -> Tensor:
    """Computes the bound of each example from its log weights, (S, B) -> (B,), nats."""
    if alpha == -math.inf:
        return log_w.amax(0)
    # double precision, because near alpha = 1 the bound is a quotient of small numbers
    return (log_mean_exp((1 - alpha) * log_w.double()) / (1 - alpha)).to(log_w.dtype)
