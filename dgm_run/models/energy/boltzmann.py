"""Fully visible Boltzmann machine: every pixel is connected to every other, without hidden units.

Source: D. Ackley, G. Hinton, T. Sejnowski, A learning algorithm for Boltzmann machines, 1985.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.models.energy.base import affine
from dgm_run.models.energy.binary_states import BinaryEnergyModel, mix
from dgm_run.models.energy.enumeration import log_sum_over_states
from dgm_run.networks.products import multiply


class Boltzmann(BinaryEnergyModel):
    """E(x) = -1/2 x'W x - b'x, W symmetric with a zero diagonal; its log-likelihood is concave in W and b.

    p(x_i = 1 | the others) = sigmoid(b_i + sum_j W_ij x_j). A sweep visits one pixel after another, in ascending or
    descending order at random, so that the chain is reversible. Parallel updates would have another equilibrium.

    Args:
        shape: shape of one example.
        init_scale: standard deviation of the initial weights, N(0, init_scale^2).
        visible_bias: initial biases: logit_mean (logits of the training means) or zero.
    """

    def __init__(self, shape: Sequence[int], init_scale: float, visible_bias: Literal["logit_mean", "zero"]):
        super().__init__(shape, visible_bias)
        dim = math.prod(shape)
        self.raw_weight = nn.Parameter(init_scale * torch.randn(dim, dim))

    @property
    def weight(self) -> Tensor:
        """Matrix W, (D, D): the mean of the raw weights and their transpose, with a zero diagonal."""
        return _symmetrize(self.raw_weight)

    def preactivations(self, state: Tensor) -> Tensor:
        """Computes b + W x, the log-odds of every pixel given the others: (B, D)."""
        return affine(self.visible_bias, state.flatten(1), self.weight)

    def hidden_term(self, state: Tensor, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        return beta * 0.5 * (state.flatten(1) * (preactivations - self.visible_bias)).sum(-1)

    def hidden_term_increase(
        self, state: Tensor, preactivations: Tensor, beta: float | Tensor, other: float | Tensor
    ) -> Tensor:  # fmt: skip
        return self.hidden_term(state, preactivations, other - beta)  # linear in beta

    def gibbs_step(self, state: Tensor, preactivations: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        return self._sweep(state, preactivations, beta, None)

    def _sweep(self, x: Tensor, preactivations: Tensor, beta: float | Tensor, observed: Tensor | None) -> Tensor:
        """Samples every pixel once, except the observed ones, (D,) or (B, D)."""
        state = x.flatten(1).clone()
        preactivations = preactivations.clone()
        weight = self.weight
        u = rng.uniform_like(state)
        order = range(state.shape[1])
        for i in order if torch.rand(()) < 0.5 else reversed(order):
            logit = beta * preactivations[:, i] + (1 - beta) * self.base_logits[i]
            new = (u[:, i] < logit.sigmoid()).to(state.dtype)
            if observed is not None:
                new = torch.where(observed[..., i], state[:, i], new)
            preactivations.addr_(new - state[:, i], weight[i])
            state[:, i] = new
        return state.view_as(x)

    def iterate_completions(self, x: Tensor, observed: Tensor) -> Iterator[Tensor]:
        state = x
        is_observed = observed.expand(x.shape).flatten(1)
        while True:
            state = self._sweep(state, self.preactivations(state), 1.0, is_observed)
            yield state

    def state_logits(self, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        """Computes the log-odds of every pixel given the others."""
        return mix(self.base_logits, preactivations, beta)

    def hidden_means(self, preactivations: Tensor) -> Tensor:
        return preactivations[:, :0]

    def gradient(self, state: Tensor, preactivations: Tensor, weights: Tensor) -> dict[str, Tensor]:
        x = state.flatten(1)
        return {
            "visible_bias": -(weights @ x),
            "raw_weight": _symmetrize(-0.5 * multiply(x.T, x * weights.unsqueeze(-1))),
        }

    def log_base_partition(self) -> Tensor:
        return self.log_state_base_partition()

    @property
    def log2_states(self) -> float:
        return len(self.visible_bias)

    @torch.no_grad()
    def log_partition(self) -> Tensor:
        weight = self.weight.double()
        b = self.visible_bias.double()
        return log_sum_over_states(len(b), lambda x: x @ b + 0.5 * (x * (x @ weight)).sum(-1), b.device)


def _symmetrize(matrix: Tensor) -> Tensor:
    both = 0.5 * (matrix + matrix.T)
    return both - both.diagonal().diag()
