"""Energy models over binary units, with their path from independent units."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.distributions.softplus import sum_softplus
from dgm_run.models.energy.base import EnergyModel, affine, dot, expand_beta, scale_preactivations, softplus_increase
from dgm_run.networks.products import multiply


class BinaryStates(nn.Module, ABC):
    """Binary units of the state of an energy model; the path starts at independent ones with the logits `base_logits`.

    Pixels come first. Their base logits are those of the training means; the base logits of other units are zero.

    Args:
        shape: shape of one example.
        num_others: number of units of the state that are no pixels.
        visible_bias: initial biases of the pixels: logit_mean (logits of the training means) or zero.
    """

    shape: tuple[int, ...]
    has_latent_states: bool
    base_logits: Tensor
    takes = ("binary",)
    error_measure = "cross_entropy"
    visible_bias: nn.Parameter

    def __init__(self, shape: Sequence[int], num_others: int, visible_bias: Literal["logit_mean", "zero"]):
        super().__init__()
        self.shape = tuple(shape)
        self.num_pixels = math.prod(shape)
        self.is_mean_initialized = visible_bias == "logit_mean"
        self.visible_bias = nn.Parameter(torch.zeros(self.num_pixels + num_others))
        self.register_buffer("base_logits", torch.zeros(self.num_pixels + num_others))

    @abstractmethod
    def state_logits(self, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        """Computes the log-odds of the state's units under f_beta at one draw of the hidden units, (B, N)."""

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        logits = mean_logits(x)
        self.base_logits[: self.num_pixels] = logits
        if self.is_mean_initialized:
            self.visible_bias[: self.num_pixels] = logits

    @abstractmethod
    def hidden_term(self, state: Tensor, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        """Computes log f_beta without the bias terms of the state, (B,)."""

    def log_unnormalized(self, state: Tensor, preactivations: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        """Computes ((1 - beta) b_0 + beta b)'s + hidden_term."""
        units = self._units(state)
        if isinstance(beta, Tensor):
            biases = beta * dot(units, self.visible_bias) + (1 - beta) * dot(units, self.base_logits)
        else:
            biases = dot(units, torch.lerp(self.base_logits, self.visible_bias, beta))
        return biases + self.hidden_term(state, preactivations, beta)

    def log_ratio(self, state: Tensor, preactivations: Tensor, beta: float | Tensor, other: float | Tensor) -> Tensor:
        biases = (other - beta) * dot(self._units(state), self.visible_bias - self.base_logits)
        return biases + self.hidden_term_increase(state, preactivations, beta, other)

    def hidden_term_increase(
        self, state: Tensor, preactivations: Tensor, beta: float | Tensor, other: float | Tensor
    ) -> Tensor:  # fmt: skip
        """Computes the hidden term at `other` minus that at `beta`, (B,).

        It works in double precision: on a fine path the difference is as small as rounding errors.
        """
        preactivations = preactivations.double()
        return self.hidden_term(state, preactivations, other) - self.hidden_term(state, preactivations, beta)

    def _units(self, state: Tensor) -> Tensor:
        """Returns the units that the biases multiply, (B, N)."""
        return state.flatten(1)

    def gibbs_step(self, state: Tensor, preactivations: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        return rng.bernoulli(self.state_logits(preactivations, beta).sigmoid()).view_as(state)

    def _visible_logits(self, preactivations: Tensor) -> Tensor:
        return self.state_logits(preactivations, 1.0)[:, : math.prod(self.shape)]

    def visible_means(self, state: Tensor, preactivations: Tensor) -> Tensor:
        return self._visible_logits(preactivations).sigmoid().unflatten(-1, self.shape)

    def sample_base(self, n: int) -> Tensor:
        draws = rng.bernoulli(self.base_logits.sigmoid().expand(n, -1))
        return draws if self.has_latent_states else draws.unflatten(-1, self.shape)

    def log_state_base_partition(self) -> Tensor:
        """Computes the log of the sum of exp(b_0's), a scalar in float64."""
        return sum_softplus(self.base_logits.double())

    def log_baseline(self, x: Tensor) -> Tensor:
        return log_independent(x, self.base_logits[: self.num_pixels])

    def reconstruction_error(self, x: Tensor, preactivations: Tensor) -> Tensor:
        return -log_bernoulli(x.flatten(1), self._visible_logits(preactivations))


class BinaryEnergyModel(BinaryStates, EnergyModel):
    """Energy model of binary pixels, all hidden units summed out: F(x) is in closed form."""

    def __init__(self, shape: Sequence[int], visible_bias: Literal["logit_mean", "zero"]):
        super().__init__(shape, 0, visible_bias)


class BinaryHiddenUnits(nn.Module):
    """Binary hidden units of an energy model, independent given the state, with the log-odds `preactivations`."""

    hidden_bias_name = "hidden_bias"

    def hidden_term(self, state: Tensor, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        return sum_softplus(scale_preactivations(preactivations, beta))

    def hidden_term_increase(
        self, state: Tensor, preactivations: Tensor, beta: float | Tensor, other: float | Tensor
    ) -> Tensor:  # fmt: skip
        return softplus_increase(preactivations, beta, other)

    def hidden_means(self, preactivations: Tensor) -> Tensor:
        return preactivations.sigmoid()


def mean_logits(x: Tensor) -> Tensor:
    """Computes the logit of each pixel's mean, smoothed by half a one and half a zero: (N, *shape) -> (D,)."""
    return torch.logit((x.flatten(1).sum(0) + 0.5) / (len(x) + 1))


def log_independent(x: Tensor, logits: Tensor) -> Tensor:
    """Computes the log-likelihood of independent binary pixels: (B, *shape), (D,) -> (B,), nats."""
    return dot(x.flatten(1), logits) - sum_softplus(logits)


def log_bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    """Computes log p(x) of binary units by their log-odds, summed over the last axis: (B, N), (B, N) -> (B,), nats."""
    return (x * logits).sum(-1) - sum_softplus(logits)


def mix(base: Tensor, end: Tensor, beta: float | Tensor) -> Tensor:
    """Computes (1 - beta) base + beta end for rows `end`, (B, D); returns `end` itself at beta = 1."""
    return end if isinstance(beta, float) and beta == 1 else torch.lerp(base, end, expand_beta(beta))


def mix_affine(base: Tensor, bias: Tensor, x: Tensor, weight: Tensor, beta: float | Tensor) -> Tensor:
    """Computes (1 - beta) base + beta (bias + x weight), (B, D), in the type of x; a scalar beta needs one product."""
    if isinstance(beta, Tensor) or beta == 1:
        return mix(base, affine(bias, x, weight), beta)
    return torch.add(torch.lerp(base, bias, beta), multiply(x, weight).to(x.dtype), alpha=beta)


def flip(x: Tensor, index: Tensor) -> Tensor:
    """Flips one pixel of each binary example, at `index`, (B, 1), in a copy of x, (B, *shape)."""
    flat = x.flatten(1).clone()
    return flat.scatter_(1, index, 1 - flat.gather(1, index)).view_as(x)


def flip_one(x: Tensor) -> Tensor:
    """Flips one uniformly drawn pixel of each binary example in a copy of x."""
    return flip(x, torch.randint(x[0].numel(), (len(x), 1), device=x.device))
