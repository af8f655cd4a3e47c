"""Importance-weighted bound and its gradient estimators.

Sources: Y. Burda, R. Grosse, R. Salakhutdinov, Importance weighted autoencoders, 2016,
https://arxiv.org/abs/1509.00519; G. Roeder et al., Sticking the landing, 2017,
https://arxiv.org/abs/1703.09194; G. Tucker et al., Doubly reparameterized gradient estimators, 2018,
https://arxiv.org/abs/1810.04152.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dgm_run.errors import ConfigError
from dgm_run.models.base import ContinuousLatentModel, ImportanceTerms, log_mean_exp
from dgm_run.objectives.base import Objective, Progress
from dgm_run.posteriors.base import ExplicitPosterior


def standard_loss(terms: ImportanceTerms) -> Tensor:
    """Computes the loss whose gradient is that of the bound, -sum_s w~_s grad log w_s with normalised weights w~.

    The gradient is unbiased, but its signal-to-noise ratio falls as S grows.
    """
    return -log_mean_exp(terms.log_w).mean()


def stl_loss(terms: ImportanceTerms) -> Tensor:
    """Computes a loss whose gradient drops the score of q ("sticking the landing"); unbiased at S = 1 only."""
    log_w = _log_weights_without_score(terms)
    weights = log_w.detach().softmax(0)
    return -(weights * log_w).sum(0).mean()


def dreg_loss(terms: ImportanceTerms) -> Tensor:
    """Computes a loss whose gradient drops the score and weights the path through z by w~^2; unbiased for every S.

    The squared weight applies to the path only. The direct gradient through p(x, z) keeps w~. With a VampPrior the
    encoder receives both gradients, so weighting its loss instead would be wrong.
    """
    log_w = _log_weights_without_score(terms)
    weights = log_w.detach().softmax(0)
    if terms.z.requires_grad:
        terms.z.register_hook(lambda gradient: weights.unsqueeze(-1) * gradient)
    return -(weights * log_w).sum(0).mean()


def _log_weights_without_score(terms: ImportanceTerms) -> Tensor:
    """Computes log weights, (S, B), in which the parameters of q have no gradient except through z."""
    return terms.log_px + terms.log_pz - terms.q.detach().log_prob(terms.z)


_LOSSES = {"standard": standard_loss, "stl": stl_loss, "dreg": dreg_loss}


@dataclass(frozen=True)
class IWAE(Objective[ContinuousLatentModel]):
    """L_S = E log 1/S sum_s p(x, z_s) / q(z_s | x), from the ELBO at S = 1 to log p(x) at infinite S.

    The reported value is the bound, whichever surrogate gives the gradient.

    Args:
        num_samples: S; the paper's K.
        gradient: standard | dreg | stl; the last two need the density of q at every z.

    Raises:
        ValueError: there is no sample.
    """

    num_samples: int
    gradient: Literal["standard", "dreg", "stl"]

    requires = {"model": ContinuousLatentModel, "posterior": ExplicitPosterior}
    monitor = "iwae"

    def __post_init__(self):
        if self.num_samples < 1:
            raise ValueError(f"num_samples = {self.num_samples}: at least one is needed")

    def init_state(self, model: ContinuousLatentModel, x: Tensor) -> dict[str, Tensor]:
        if self.gradient != "standard":
            with torch.no_grad():
                q = model.infer(x[:1])
                try:
                    q.detach().log_prob(q.sample())
                except NotImplementedError:
                    raise ConfigError(
                        f"objective.gradient: {self.gradient} needs a density of q(z | x) at every z, with "
                        f"parameters that can be frozen, and {type(model).__name__} with this posterior has none: "
                        "use objective.gradient=standard"
                    ) from None
        return {}

    def __call__(
        self, model: ContinuousLatentModel, x: Tensor, progress: Progress | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        terms = model.sample_terms(x, self.num_samples)
        loss = _LOSSES[self.gradient](terms)
        return loss + model.auxiliary_loss(), report_bounds(terms)


def report_bounds(terms: ImportanceTerms) -> dict[str, Tensor]:
    """Computes both bounds and the two terms of the ELBO from the same samples: batch means, without gradient."""
    log_w = terms.log_w.detach()
    log_px = terms.log_px.detach()
    elbo = log_w.mean()
    reconstruction = log_px.mean()
    return {
        "iwae": log_mean_exp(log_w).mean(),
        "elbo": elbo,
        "reconstruction": reconstruction,
        "kl": reconstruction - elbo,
    }
