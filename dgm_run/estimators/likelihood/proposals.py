"""Proposals for importance samples of z: q(z | x), or a defensive mixture with the prior that misses no mode.

Source: T. Hesterberg, Weighted average importance sampling and defensive mixture distributions, 1995,
https://doi.org/10.1080/00401706.1995.10484303.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution
from dgm_run.errors import ConfigError
from dgm_run.models.base import ImportanceTerms, LatentVariableModel

Proposal = Literal["posterior", "defensive"]


def choose_prior_draws(num_samples: int, prior_weight: float, device: torch.device) -> Tensor:
    """Draws a mask of the S samples that come from the prior, (S,), each with the probability `prior_weight`.

    Their number is fixed up to rounding, so that it adds no variance.
    """
    num_prior = math.floor(num_samples * prior_weight + torch.rand(()).item())
    return (torch.randperm(num_samples) < num_prior).to(device)


def weigh_defensive_samples(
    model: LatentVariableModel, x: Tensor, q: Distribution, p: Distribution, prior_weight: float, from_prior: Tensor
) -> tuple[Tensor, ImportanceTerms]:
    """Draws and weighs samples of the mixture (1 - a) q(z | x) + a p(z), a = `prior_weight`.

    Such a weight is at most p(x | z) / a, so it has a variance wherever the likelihood is bounded.

    Args:
        model: the model of q and p.
        x: (B, *shape).
        q: q(z | x), batch shape (B,), with a density at every z.
        p: p(z), batch shape ().
        prior_weight: a.
        from_prior: mask of the samples from the prior, (S,).

    Returns:
        Log weights of all samples in their order, (S, B), and the terms of the samples from q.
    """
    num_prior = int(from_prior.sum())
    num_own = len(from_prior) - num_prior
    z, log_qz = q.rsample_and_log_prob((num_own,))
    if num_prior:
        z_prior = p.sample((num_prior, len(x)))
        z = torch.cat([z, z_prior])
        log_qz = torch.cat([log_qz, q.log_prob(z_prior)])
    log_px = model.decode(z).log_prob(x)
    log_pz = p.log_prob(z)
    log_mixture = torch.logaddexp(math.log1p(-prior_weight) + log_qz, math.log(prior_weight) + log_pz)
    log_w = log_px + (log_pz - log_mixture)
    order = from_prior.int().argsort(stable=True).argsort()  # position of each sample in z
    own = slice(num_own)
    terms = ImportanceTerms(q, p, z[own], log_px[own], log_pz[own], log_qz[own])
    return log_w[order], terms


def check_density(q: Distribution, p: Distribution) -> None:
    """Refuses a mixture of q and p where one of them has no density at every z.

    Raises:
        ConfigError: one line that says what to choose instead.
    """
    for density, name in ((q, "posterior"), (p, "prior")):
        try:
            density.log_prob(p.sample((1, *q.batch_shape)))
        except NotImplementedError:
            raise ConfigError(
                f"estimators.importance_sampling.proposal: a mixture needs the density at every z, and this {name} has "
                "it at its own samples alone: set proposal=posterior"
            ) from None


def has_lighter_tails(q: Distribution, p: Distribution) -> bool:
    """Returns whether p has exponential tails along a dimension where the tails of q are Gaussian.

    Then the weights p(x | z) p(z) / q(z | x) have infinite variance at any width of q, if the likelihood levels off.
    """
    return any(in_p and not in_q for in_p, in_q in zip(p.exponential_tails, q.exponential_tails, strict=True))
