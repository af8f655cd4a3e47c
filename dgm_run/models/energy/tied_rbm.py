"""RBM with tied copies of its layers, for layer-wise training of a deep Boltzmann machine.

A layer of a deep Boltzmann machine receives input from two sides, but only from one when it is trained alone. Two
tied copies of the units on that side replace the missing input. Source: R. Salakhutdinov, G. Hinton, Deep Boltzmann
machines, 2009 (there as doubled weights).
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.models.energy.base import affine, scale_preactivations
from dgm_run.models.energy.binary_states import BinaryEnergyModel, BinaryHiddenUnits, log_independent, mix_affine
from dgm_run.models.energy.enumeration import log_sum_over_states
from dgm_run.models.energy.rbm import center_gradient, compute_gradient


class TiedRBM(BinaryHiddenUnits, BinaryEnergyModel):
    """E(x, h) = -(sum_v x_v)'W (sum_u h_u) - b'sum_v x_v - c'sum_u h_u, copies x_v of the pixels and h_u of the hidden.

    With s = sum_v x_v and U copies of the hidden units, F(x) = -b's - U sum_j softplus(c_j + (W's)_j).

    Args:
        num_pixels: D, pixels of one copy; an example has the shape (visible_copies, D).
        num_hidden: M, hidden units of one copy.
        visible_copies: number of copies of the pixels.
        hidden_copies: U, number of copies of the hidden units.
        init_scale: standard deviation of the initial weights, N(0, init_scale^2); hidden biases start at zero.
        visible_bias: initial visible biases: logit_mean (logits of the training means) or zero.
    """

    def __init__(
        self,
        num_pixels: int,
        num_hidden: int,
        visible_copies: int,
        hidden_copies: int,
        init_scale: float,
        visible_bias: Literal["logit_mean", "zero"],
    ):
        super().__init__((num_pixels,), visible_bias)
        self.shape = (visible_copies, num_pixels)
        self.weight = nn.Parameter(init_scale * torch.randn(num_pixels, num_hidden))
        self.hidden_bias = nn.Parameter(torch.zeros(num_hidden))
        self.visible_copies = visible_copies
        self.hidden_copies = hidden_copies

    def _units(self, state: Tensor) -> Tensor:
        """Sums the copies of the pixels, (B, D)."""
        return state.sum(1)

    def initialize(self, x: Tensor) -> None:
        super().initialize(x.flatten(0, 1))

    def preactivations(self, state: Tensor) -> Tensor:
        return affine(self.hidden_bias, self._units(state), self.weight)

    def hidden_term(self, state: Tensor, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        return self.hidden_copies * super().hidden_term(state, preactivations, beta)

    def hidden_term_increase(
        self, state: Tensor, preactivations: Tensor, beta: float | Tensor, other: float | Tensor
    ) -> Tensor:  # fmt: skip
        return self.hidden_copies * super().hidden_term_increase(state, preactivations, beta, other)

    def state_logits(self, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        p = scale_preactivations(preactivations, beta).sigmoid()
        h = sum((rng.bernoulli(p) for _ in range(self.hidden_copies)), start=p.new_zeros(()))
        logits = mix_affine(self.base_logits, self.visible_bias, h, self.weight.T, beta)
        return logits.repeat(1, self.visible_copies)

    def gradient(self, state: Tensor, preactivations: Tensor, weights: Tensor) -> dict[str, Tensor]:
        found = compute_gradient(self._units(state), preactivations, weights)
        for name in ("weight", "hidden_bias"):
            found[name].mul_(self.hidden_copies)
        return found

    def center_gradient(
        self, gradient: dict[str, Tensor], state_mean: Tensor, hidden_mean: Tensor
    ) -> dict[str, Tensor]:
        visible_mean = state_mean.unflatten(0, self.shape).sum(0)
        return center_gradient(gradient, visible_mean, self.hidden_copies * hidden_mean)

    def sample_base(self, n: int) -> Tensor:
        return rng.bernoulli(self.base_logits.sigmoid().expand(n, *self.shape))

    def log_base_partition(self) -> Tensor:
        hidden = self.hidden_copies * len(self.hidden_bias) * math.log(2)
        return self.visible_copies * self.log_state_base_partition() + hidden

    def log_baseline(self, x: Tensor) -> Tensor:
        return log_independent(x, self.base_logits.repeat(self.visible_copies))

    @property
    def log2_states(self) -> float:
        return self.hidden_copies * len(self.hidden_bias)

    @torch.no_grad()
    def log_partition(self) -> Tensor:
        weight = self.weight.double()
        b = self.visible_bias.double()
        c = self.hidden_bias.double()

        def log_weight(states: Tensor) -> Tensor:
            h = states.unflatten(1, (self.hidden_copies, -1)).sum(1)
            return h @ c + self.visible_copies * F.softplus(h @ weight.T + b).sum(-1)

        return log_sum_over_states(self.hidden_copies * len(c), log_weight, c.device)
