"""Energy models over binary units, and the path from independent units to them."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.models.energy.base import EnergyModel, affine, column, dot


class BinaryStates(EnergyModel):
    """The path starts at independent binary units, by the logits `base_logits`: (N,) for N units, the pixels first.

    Those of the pixels are the logits of the training means, those of other units zero.

    Args:
        shape: of one example.
        num_others: units of the state that are no pixels.
        visible_bias: logit_mean starts the biases of the pixels at the logits of the training means, zero at zero.
    """

    base_logits: Tensor
    takes = ("binary",)
    error_measure = "cross_entropy"
    visible_bias: nn.Parameter

    def __init__(self, shape: Sequence[int], num_others: int, visible_bias: Literal["logit_mean", "zero"]):
        super().__init__()
        self.shape, self.num_pixels = tuple(shape), math.prod(shape)
        self.starts_at_means = visible_bias == "logit_mean"
        self.visible_bias = nn.Parameter(torch.zeros(self.num_pixels + num_others))
        self.register_buffer("base_logits", torch.zeros(self.num_pixels + num_others))

    @abstractmethod
    def state_logits(self, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        """Log-odds under f_beta of the units of the state at one draw of the hidden units, (B, N)."""

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        logits = logits_of_means(x)
        self.base_logits[: self.num_pixels] = logits
        if self.starts_at_means:
            self.visible_bias[: self.num_pixels] = logits

    @abstractmethod
    def hidden_term(self, state: Tensor, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        """What log f_beta has beyond the biases of the state, (B,)."""

    def log_unnormalized(self, state: Tensor, preactivations: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        """((1 - beta) b_0 + beta b)'s + interaction."""
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
        """The interaction at `other` less that at `beta`, (B,).

        In double precision: on a fine path it is as small as the rounding errors of the two.
        """
        preactivations = preactivations.double()
        return self.hidden_term(state, preactivations, other) - self.hidden_term(state, preactivations, beta)

    def _units(self, state: Tensor) -> Tensor:
        """What the biases apply to, (B, N)."""
        return state.flatten(1)

    def gibbs_step(self, state: Tensor, preactivations: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        return rng.bernoulli(self.state_logits(preactivations, beta).sigmoid()).view_as(state)

    def _visible_logits(self, preactivations: Tensor) -> Tensor:
        return self.state_logits(preactivations, 1.0)[:, : math.prod(self.shape)]

    def visible_means(self, state: Tensor, preactivations: Tensor) -> Tensor:
        return self._visible_logits(preactivations).sigmoid().unflatten(-1, self.shape)

    def sample_base(self, n: int) -> Tensor:
        draws = rng.bernoulli(self.base_logits.sigmoid().expand(n, -1))
        return draws if self.inferred else draws.unflatten(-1, self.shape)

    def log_state_base_partition(self) -> Tensor:
        """log of the sum of exp(b_0's), a scalar in float64."""
        return F.softplus(self.base_logits.double()).sum()

    def log_baseline(self, x: Tensor) -> Tensor:
        return log_independent(x, self.base_logits[: self.num_pixels])

    def reconstruction_error(self, x: Tensor, preactivations: Tensor) -> Tensor:
        return -log_bernoulli(x.flatten(1), self._visible_logits(preactivations))


class BinaryEnergyModel(BinaryStates):
    """Of binary pixels, all hidden units summed out: F(x) is known in closed form."""

    def __init__(self, shape: Sequence[int], visible_bias: Literal["logit_mean", "zero"]):
        super().__init__(shape, 0, visible_bias)


def logits_of_means(x: Tensor) -> Tensor:
    """Of every pixel over the examples, half a one and half a zero added: (N, *shape) -> (D,)."""
    return torch.logit((x.flatten(1).sum(0) + 0.5) / (len(x) + 1))


def log_independent(x: Tensor, logits: Tensor) -> Tensor:
    """log-likelihood of independent binary pixels: (B, *shape), (D,) -> (B,), nats."""
    return dot(x.flatten(1), logits) - F.softplus(logits).sum()


def log_bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    """log p(x) of binary units by their log-odds, summed over the last axis: (B, N), (B, N) -> (B,), nats."""
    return (x * logits - F.softplus(logits)).sum(-1)


def mix(base: Tensor, end: Tensor, beta: float | Tensor) -> Tensor:
    """(1 - beta) base + beta end for rows `end`, (B, D); at the end of the path, `end` itself."""
    return end if isinstance(beta, float) and beta == 1 else torch.lerp(base, end, column(beta))


def mixed_affine(base: Tensor, bias: Tensor, x: Tensor, weight: Tensor, beta: float | Tensor) -> Tensor:
    """(1 - beta) base + beta (bias + x weight), (B, D), in the type of x; for one beta in one product."""
    if isinstance(beta, Tensor) or beta == 1:
        return mix(base, affine(bias, x, weight), beta)
    return torch.addmm(torch.lerp(base, bias, beta), x, weight, alpha=beta).to(x.dtype)


def flip(x: Tensor, index: Tensor) -> Tensor:
    """A copy of binary x, (B, *shape), with one pixel of each example flipped, at `index`, (B, 1)."""
    flat = x.flatten(1).clone()
    return flat.scatter_(1, index, 1 - flat.gather(1, index)).view_as(x)


def flip_one(x: Tensor) -> Tensor:
    """A copy of binary x with one pixel of each example flipped, drawn uniformly."""
    return flip(x, torch.randint(x[0].numel(), (len(x), 1), device=x.device))
