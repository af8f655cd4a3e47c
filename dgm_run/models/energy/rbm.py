"""Restricted Boltzmann machine: binary pixels and binary hidden units, connected only between the two groups.

Sources: P. Smolensky, Information processing in dynamical systems, 1986; G. Hinton, A practical guide to training
restricted Boltzmann machines, 2010; R. Salakhutdinov, I. Murray, On the quantitative analysis of deep belief
networks, 2008 (the path of densities).
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.distributions.softplus import sum_softplus
from dgm_run.models.energy.base import affine, scale_preactivations
from dgm_run.models.energy.binary_states import BinaryEnergyModel, BinaryHiddenUnits, mix_affine
from dgm_run.models.energy.enumeration import log_sum_over_states
from dgm_run.networks.products import multiply


class RBM(BinaryHiddenUnits, BinaryEnergyModel):
    """E(x, h) = -x'W h - b'x - c'h, so F(x) = -b'x - sum_j softplus(c_j + (W'x)_j).

    The path scales W, c and b by beta and mixes b with the logits b_0 of the training means:
    log f_beta(x) = ((1 - beta) b_0 + beta b)'x + sum_j softplus(beta (c_j + (W'x)_j)).

    Args:
        shape: shape of one example.
        num_hidden: M.
        init_scale: standard deviation of the initial weights, N(0, init_scale^2); hidden biases start at zero.
        visible_bias: initial visible biases: logit_mean (logits of the training means) or zero.

    Raises:
        ValueError: there is no hidden unit.
    """

    def __init__(
        self,
        shape: Sequence[int],
        num_hidden: int,
        init_scale: float,
        visible_bias: Literal["logit_mean", "zero"],
    ):
        super().__init__(shape, visible_bias)
        if num_hidden < 1:
            raise ValueError(f"num_hidden = {num_hidden} must be positive")
        self.weight = nn.Parameter(init_scale * torch.randn(math.prod(shape), num_hidden))
        self.hidden_bias = nn.Parameter(torch.zeros(num_hidden))

    def preactivations(self, state: Tensor) -> Tensor:
        return affine(self.hidden_bias, state.flatten(1), self.weight)

    def state_logits(self, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        h = rng.bernoulli(scale_preactivations(preactivations, beta).sigmoid())
        return mix_affine(self.base_logits, self.visible_bias, h, self.weight.T, beta)

    def gradient(self, state: Tensor, preactivations: Tensor, weights: Tensor) -> dict[str, Tensor]:
        return compute_gradient(state.flatten(1), preactivations, weights)

    def center_gradient(
        self, gradient: dict[str, Tensor], state_mean: Tensor, hidden_mean: Tensor
    ) -> dict[str, Tensor]:
        return center_gradient(gradient, state_mean, hidden_mean)

    def log_base_partition(self) -> Tensor:
        return self.log_state_base_partition() + len(self.hidden_bias) * math.log(2)

    @property
    def log2_states(self) -> float:
        return min(self.weight.shape)

    @torch.no_grad()
    def log_partition(self) -> Tensor:
        weight = self.weight.double()
        b = self.visible_bias.double()
        c = self.hidden_bias.double()
        if len(b) < len(c):
            weight, b, c = weight.T, c, b  # enumerates the smaller side, which stands second
        return log_sum_over_states(len(c), lambda s: s @ c + sum_softplus(s @ weight.T + b), c.device)

    def filters(self) -> Tensor:
        return self.weight


def compute_gradient(x: Tensor, preactivations: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Computes the gradient of the free energies F(x), weighted: (B, D), (B, M), (B,) -> by parameter."""
    h = preactivations.sigmoid().mul_(-weights.unsqueeze(-1))
    return {"weight": multiply(x.T, h), "visible_bias": -(weights @ x), "hidden_bias": h.sum(0)}


def center_gradient(gradient: dict[str, Tensor], x_mean: Tensor, h_mean: Tensor) -> dict[str, Tensor]:
    """Converts a gradient into that of the weights between x - x_mean and h - h_mean, (D,) and (M,).

    The ordinary biases move with the weights.
    """
    b = gradient["visible_bias"]
    c = gradient["hidden_bias"]
    weight = gradient["weight"].addr(x_mean, c, alpha=-1).addr_(b, h_mean, alpha=-1)
    return {"weight": weight, "visible_bias": b - weight @ h_mean, "hidden_bias": c - weight.T @ x_mean}
