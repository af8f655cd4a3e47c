"""Subspace restricted Boltzmann machine: gates that switch groups of hidden units.

Source: J. M. Tomczak, A. Gonczarek, Learning invariant features using subspace restricted Boltzmann machine, 2017.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.distributions.softplus import sum_softplus
from dgm_run.models.energy.base import affine, expand_beta, scale_preactivations
from dgm_run.models.energy.binary_states import BinaryEnergyModel, mix_affine
from dgm_run.models.energy.enumeration import binary_states, digits, log_sum, log_sum_over_states
from dgm_run.networks.products import multiply


class SubspaceRBM(BinaryEnergyModel):
    """E(x, h, S) = -sum_ijk W_ijk x_i h_j S_jk - b'x - c'h - sum_jk A_jk h_j S_jk, all units binary.

    With a_jk = A_jk + sum_i W_ijk x_i, and the K units of a closed gate unconstrained:
    F(x) = -b'x - M K log 2 - sum_j softplus(c_j - K log 2 + sum_k softplus(a_jk)).
    The path scales W, A and c by beta and mixes b with the logits of the training means.

    Args:
        shape: shape of one example.
        num_gates: M.
        num_units: K, subspace units of each gate.
        init_scale: standard deviation of the initial weights, N(0, init_scale^2); A and c start at zero.
        visible_bias: initial visible biases: logit_mean (logits of the training means) or zero.

    Raises:
        ValueError: there is no gate or no unit.
    """

    hidden_bias_name = "gate_bias"

    def __init__(
        self,
        shape: Sequence[int],
        num_gates: int,
        num_units: int,
        init_scale: float,
        visible_bias: Literal["logit_mean", "zero"],
    ):
        super().__init__(shape, visible_bias)
        if min(num_gates, num_units) < 1:
            raise ValueError(f"num_gates = {num_gates} and num_units = {num_units} must be positive")
        self.weight = nn.Parameter(init_scale * torch.randn(math.prod(shape), num_gates * num_units))
        self.unit_bias = nn.Parameter(torch.zeros(num_gates, num_units))
        self.gate_bias = nn.Parameter(torch.zeros(num_gates))

    def preactivations(self, state: Tensor) -> Tensor:
        """Computes a, (B, M, K)."""
        return affine(self.unit_bias.flatten(), state.flatten(1), self.weight).unflatten(1, self.unit_bias.shape)

    def _gate_logits(self, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        """Computes the log-odds of an open gate, its units summed out: (B, M)."""
        closed = self.unit_bias.shape[1] * math.log(2)  # log of the 2^K states of free units
        return (
            expand_beta(beta) * self.gate_bias.to(preactivations.dtype)
            - closed
            + sum_softplus(scale_preactivations(preactivations, beta))
        )

    def hidden_term(self, state: Tensor, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        return self.unit_bias.numel() * math.log(2) + sum_softplus(self._gate_logits(preactivations, beta))

    def state_logits(self, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        h = rng.bernoulli(self._gate_logits(preactivations, beta).sigmoid()).unsqueeze(-1)  # (B, M, 1)
        # units behind a closed gate reach no pixel
        on = h * rng.bernoulli(scale_preactivations(preactivations, beta).sigmoid())
        return mix_affine(self.base_logits, self.visible_bias, on.flatten(1), self.weight.T, beta)

    def hidden_means(self, preactivations: Tensor) -> Tensor:
        """Computes p(h_j = 1 | x), (B, M)."""
        return self._gate_logits(preactivations, 1.0).sigmoid()

    def gradient(self, state: Tensor, preactivations: Tensor, weights: Tensor) -> dict[str, Tensor]:
        x = state.flatten(1)
        gates = -weights.unsqueeze(-1) * self.hidden_means(preactivations)
        units = gates.unsqueeze(-1) * preactivations.sigmoid()  # (B, M, K)
        return {
            "visible_bias": -(weights @ x),
            "weight": multiply(x.T, units.flatten(1)),
            "unit_bias": units.sum(0),
            "gate_bias": gates.sum(0),
        }

    def log_base_partition(self) -> Tensor:
        gates, units = self.unit_bias.shape
        return self.log_state_base_partition() + gates * (units + 1) * math.log(2)

    @property
    def log2_states(self) -> float:
        """Log2 of the number of terms: a gate is closed, or open with one of 2^K unit states; or 2^D pixel states."""
        gates, units = self.unit_bias.shape
        return min(len(self.visible_bias), gates * math.log2(1 + 2**units))

    @torch.no_grad()
    def log_partition(self) -> Tensor:
        b = self.visible_bias.double()
        a = self.unit_bias.double()
        c = self.gate_bias.double()
        weight = self.weight.double()
        gates, units = a.shape
        device = b.device
        closed = c.new_tensor(units * math.log(2))
        patterns = binary_states(units, 0, 1 << units, device)
        units_of = torch.cat([patterns.new_zeros(1, units), patterns])  # (1 + 2^K, K), those of a closed gate first
        log_weights = torch.cat([closed.expand(gates, 1), c.unsqueeze(1) + a @ patterns.T], 1)  # (M, 1 + 2^K)

        def hidden(index: Tensor) -> Tensor:
            state = digits(index, len(units_of), gates)  # (N, M)
            on = units_of[state].flatten(1)  # (N, M K)
            return log_weights.T.gather(0, state).sum(-1) + sum_softplus(on @ weight.T + b)

        def visible(x: Tensor) -> Tensor:
            open_gate = c + sum_softplus((x @ weight + a.flatten()).unflatten(1, a.shape))
            return x @ b + torch.logaddexp(open_gate, closed).sum(-1)

        if len(b) <= self.log2_states:
            return log_sum_over_states(len(b), visible, device)
        return log_sum(len(units_of) ** gates, hidden, device)

    def filters(self) -> Tensor:
        """Returns the weights, (D, M K); the units of a gate are adjacent columns."""
        return self.weight
