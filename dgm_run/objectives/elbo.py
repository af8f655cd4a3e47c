"""Evidence lower bound, with its usual schedules."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian, kl_to_standard
from dgm_run.distributions.standard_gaussian import StandardGaussian
from dgm_run.models.base import ContinuousLatentModel, ImportanceTerms
from dgm_run.objectives.base import Objective, Progress, linear_warmup, logistic_warmup
from dgm_run.posteriors.base import ExplicitPosterior

_WARMUPS = {"linear": linear_warmup, "logistic": logistic_warmup}


@dataclass(frozen=True)
class ELBO(Objective[ContinuousLatentModel]):
    """E_q log p(x | z) - beta KL(q(z | x) || p(z)), by Monte Carlo.

    Sources: D. P. Kingma, M. Welling, Auto-encoding variational Bayes, 2013, https://arxiv.org/abs/1312.6114; I.
    Higgins et al., beta-VAE, 2017, https://openreview.net/forum?id=Sy2fzU9gl (beta); C. K. Sonderby et al., Ladder
    variational autoencoders, 2016, https://arxiv.org/abs/1602.02282 (warm-up); D. P. Kingma et al., Improved
    variational inference with inverse autoregressive flow, 2016, https://arxiv.org/abs/1606.04934 (free bits).

    Args:
        num_samples: samples of z for each example.
        beta: weight of the KL term in the loss.
        warmup_epochs: number of epochs over which beta grows.
        warmup: linear | logistic (slow, fast, slow; Bowman et al. 2016, https://arxiv.org/abs/1511.06349).
        free_bits: nats of each latent dimension that cost nothing, on average over the batch. With a Gaussian posterior
            and the standard prior each dimension has this floor; otherwise the whole vector has L times the floor.

    Raises:
        ValueError: a setting is negative, or there is no sample.
    """

    num_samples: int
    beta: float
    warmup_epochs: int
    warmup: Literal["linear", "logistic"]
    free_bits: float

    requires = {"model": ContinuousLatentModel, "posterior": ExplicitPosterior}
    monitor = "elbo"

    def __post_init__(self):
        if self.num_samples < 1:
            raise ValueError(f"num_samples = {self.num_samples}: at least one is needed")
        for name in ("beta", "warmup_epochs", "free_bits"):
            if not 0 <= getattr(self, name) < math.inf:  # NaN is refused as well
                raise ValueError(f"{name} = {getattr(self, name)} must be a finite number, and not negative")

    @property
    def num_warmup_epochs(self) -> int:
        return self.warmup_epochs

    def __call__(
        self, model: ContinuousLatentModel, x: Tensor, progress: Progress | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        loss, named = self.loss_from_terms(model.sample_terms(x, self.num_samples), progress)
        return loss + model.auxiliary_loss(), named

    def loss_from_terms(self, terms: ImportanceTerms, progress: Progress | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Computes the loss and the named terms, scalars, from one evaluation of the densities."""
        log_px = terms.log_px.mean()
        kl = (terms.log_qz - terms.log_pz).mean()
        kl_cost = self._apply_free_bits(terms, kl) if self.free_bits > 0 else kl
        loss = self.beta * _WARMUPS[self.warmup](progress, self.warmup_epochs) * kl_cost - log_px
        return loss, {"elbo": log_px - kl, "reconstruction": log_px, "kl": kl}

    def _apply_free_bits(self, terms: ImportanceTerms, kl: Tensor) -> Tensor:
        """Computes the cost of the KL term, a scalar: at least `free_bits` for each dimension."""
        # takes the batch mean before the maximum: a dimension may be unused by some examples
        if isinstance(terms.q, DiagonalGaussian) and isinstance(terms.p, StandardGaussian):
            return kl_to_standard(terms.q).mean(0).clamp(min=self.free_bits).sum()
        return kl.clamp(min=self.free_bits * terms.z.shape[-1])
