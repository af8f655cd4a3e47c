"""The restricted Boltzmann machine: binary pixels, binary hidden units, no links among either.

Sources: P. Smolensky, Information processing in dynamical systems, 1986; G. Hinton, A practical guide to training
restricted Boltzmann machines, 2010; R. Salakhutdinov, I. Murray, On the quantitative analysis of deep belief
networks, 2008 (the path of densities).
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.models.energy.base import affine, scaled, softplus_increase
from dgm_run.models.energy.binary_states import BinaryEnergyModel, mixed_affine
from dgm_run.models.energy.enumeration import log_sum_over_states


class RBM(BinaryEnergyModel):
    """E(x, h) = -x'W h - b'x - c'h, so F(x) = -b'x - sum_j softplus(c_j + (W'x)_j).

    The path scales W, c and b by beta and mixes b with the logits b_0 of the training means:
    log f_beta(x) = ((1 - beta) b_0 + beta b)'x + sum_j softplus(beta (c_j + (W'x)_j)).

    Args:
        shape: of one example.
        num_hidden: M.
        init_scale: the weights start from N(0, init_scale^2), the hidden biases at zero.
        visible_bias: logit_mean starts the visible biases at the logits of the training means, zero at zero.

    Raises:
        ValueError: there is no hidden unit.
    """

    hidden_bias_name = "hidden_bias"

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

    def hidden_term(self, state: Tensor, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        return F.softplus(scaled(preactivations, beta)).sum(-1)

    def hidden_term_increase(
        self, state: Tensor, preactivations: Tensor, beta: float | Tensor, other: float | Tensor
    ) -> Tensor:  # fmt: skip
        return softplus_increase(preactivations, beta, other)

    def state_logits(self, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        h = rng.bernoulli(scaled(preactivations, beta).sigmoid())
        return mixed_affine(self.base_logits, self.visible_bias, h, self.weight.T, beta)

    def hidden_means(self, preactivations: Tensor) -> Tensor:
        return preactivations.sigmoid()

    def gradient(self, state: Tensor, preactivations: Tensor, weights: Tensor) -> dict[str, Tensor]:
        x, h = state.flatten(1), preactivations.sigmoid().mul_(-weights.unsqueeze(-1))
        return {"weight": x.T @ h, "visible_bias": -(weights @ x), "hidden_bias": h.sum(0)}

    def centered(self, gradient: dict[str, Tensor], state_mean: Tensor, hidden_mean: Tensor) -> dict[str, Tensor]:
        b, c = gradient["visible_bias"], gradient["hidden_bias"]
        # of the weights between x - state_mean and h - hidden_mean; the ordinary biases move along with them
        weight = gradient["weight"].addr(state_mean, c, alpha=-1).addr_(b, hidden_mean, alpha=-1)
        return {
            "weight": weight,
            "visible_bias": b - weight @ hidden_mean,
            "hidden_bias": c - weight.T @ state_mean,
        }

    def log_base_partition(self) -> Tensor:
        return self.log_state_base_partition() + len(self.hidden_bias) * math.log(2)

    @property
    def log2_states(self) -> float:
        return min(self.weight.shape)

    @torch.no_grad()
    def log_partition(self) -> Tensor:
        weight, b, c = self.weight.double(), self.visible_bias.double(), self.hidden_bias.double()
        if len(b) < len(c):
            weight, b, c = weight.T, c, b  # now the side that is enumerated stands second
        return log_sum_over_states(len(c), lambda s: s @ c + F.softplus(s @ weight.T + b).sum(-1), c.device)

    def filters(self) -> Tensor:
        return self.weight
