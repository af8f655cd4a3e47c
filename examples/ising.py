"""An energy model of your own: a lattice of pixels, each linked to its four neighbours.

It defines the six members of `EnergyModel` that have no default. Training, sampling and log Z come with them.

    dgm-run --config-dir conf model=ising dataset=digits
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.models.energy.base import EnergyModel
from dgm_run.models.energy.binary_states import log_independent, logits_of_means


class Ising(EnergyModel):
    """E(x) = -b'x - sum over neighbours J_ij x_i x_j, for binary images.

    The path: log f_beta(x) = ((1 - beta) b_0 + beta b)'x + beta sum J_ij x_i x_j, b_0 the logits of the training means.

    Args:
        shape: of one example, (1, H, W).
    """

    takes = ("binary",)
    base_logits: Tensor
    is_even: Tensor

    def __init__(self, shape: Sequence[int]):
        super().__init__()
        self.shape = tuple(shape)
        _, height, width = self.shape
        self.bias = nn.Parameter(torch.zeros(height, width))
        self.across = nn.Parameter(torch.zeros(height, width - 1))
        self.down = nn.Parameter(torch.zeros(height - 1, width))
        self.register_buffer("base_logits", torch.zeros(height, width))
        checkerboard = (torch.arange(height).unsqueeze(1) + torch.arange(width)) % 2 == 0
        self.register_buffer("is_even", checkerboard, persistent=False)

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        self.base_logits.copy_(logits_of_means(x).view_as(self.base_logits))
        self.bias.copy_(self.base_logits)

    def preactivations(self, state: Tensor) -> Tensor:
        """Returns sum_j J_ij x_j of every pixel, (B, H, W)."""
        x = state[:, 0]
        left = F.pad(self.across * x[:, :, :-1], (1, 0))
        right = F.pad(self.across * x[:, :, 1:], (0, 1))
        above = F.pad(self.down * x[:, :-1], (0, 0, 1, 0))
        below = F.pad(self.down * x[:, 1:], (0, 0, 0, 1))
        return left + right + above + below

    def log_unnormalized(self, state: Tensor, preactivations: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        beta = torch.as_tensor(beta, dtype=state.dtype).view(-1, 1, 1)
        of_each = self._bias_at(beta) + 0.5 * beta * preactivations  # each link is counted at both of its ends
        return (of_each * state[:, 0]).sum((1, 2))

    def gibbs_step(self, state: Tensor, preactivations: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        """Draws the even pixels given the odd ones, then the odd ones."""
        beta = torch.as_tensor(beta, dtype=state.dtype).view(-1, 1, 1)
        for is_drawn in (self.is_even, ~self.is_even):
            drawn = rng.bernoulli((self._bias_at(beta) + beta * preactivations).sigmoid())
            state = torch.where(is_drawn, drawn, state[:, 0]).unsqueeze(1)
            preactivations = self.preactivations(state)
        return state

    def _bias_at(self, beta: Tensor) -> Tensor:
        return (1 - beta) * self.base_logits + beta * self.bias

    def sample_base(self, n: int) -> Tensor:
        return rng.bernoulli(self.base_logits.sigmoid().expand(n, *self.shape))

    def log_base_partition(self) -> Tensor:
        return F.softplus(self.base_logits.double()).sum()

    def log_baseline(self, x: Tensor) -> Tensor:
        return log_independent(x, self.base_logits.flatten())
