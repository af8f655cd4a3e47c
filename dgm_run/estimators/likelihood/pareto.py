"""Pareto k-hat: the shape of the tail of importance weights.

Sources: A. Vehtari et al., Pareto smoothed importance sampling, 2024, https://arxiv.org/abs/1507.02646;
J. Zhang, M. Stephens, A new and efficient estimation method for the generalized Pareto distribution, 2009,
https://doi.org/10.1198/tech.2009.08017.
"""

import math

import torch
from torch import Tensor

from dgm_run.distributed import process_group

MIN_TAIL = 5
"""Smallest number of weights in a tail for a fit."""
PRIOR_WEIGHT = 10
"""Number of observations that the prior k = 0.5 counts as, the choice of Vehtari et al."""
PRIOR_K = 0.5
MIN_RISE = 1e-4
"""Smallest rise of a tail, as a share of the largest weight; a smaller one is rounding."""
UNRELIABLE_K = 0.7
"""k-hat above which estimates converge too slowly at any S (Vehtari et al.)."""


def tail_size(num_samples: int) -> int:
    """Returns the number of the S weights that belong to the tail, min(S / 5, 3 sqrt(S))."""
    return int(min(0.2 * num_samples, 3 * math.sqrt(num_samples)))


class LargestWeights:
    """Largest log weights of each example, of weights that arrive in chunks.

    Its memory is bounded by twice the kept weights and a chunk, for any number of samples.

    Args:
        num_samples: S, the number of samples in all.
        num_examples: B.
        device: device of the log weights.
    """

    def __init__(self, num_samples: int, num_examples: int, device: torch.device):
        self.size = tail_size(num_samples) + 1  # the tail, and the weight where it begins
        self.has_fit = self.size > MIN_TAIL
        self._parts = [torch.full((self.size, num_examples), -math.inf, device=device)]

    def add(self, log_w: Tensor) -> None:
        """Adds a chunk of log weights, (S', B)."""
        if not self.has_fit:
            return
        self._parts.append(log_w.to(self._parts[0]))
        if sum(map(len, self._parts)) >= 2 * self.size:
            self._parts = [self.values()]

    def join(self) -> None:
        """Merges the weights that the other processes keep of other samples."""
        if self.has_fit:
            self._parts = [process_group.all_gather(self.values()).flatten(0, 1)]

    def values(self) -> Tensor:
        """Returns the largest log weights, the largest first: (tail + 1, B)."""
        return torch.cat(self._parts).topk(self.size, dim=0).values

    def fit_pareto_k(self) -> Tensor | None:
        """Returns k-hat of each example, (B,), float64; None where there are too few samples for a fit."""
        return pareto_k(self.values()) if self.has_fit else None


def pareto_k(largest: Tensor) -> Tensor:
    """Fits a generalised Pareto distribution to the tail of importance weights and returns its shape k-hat.

    Moments of the weights of order 1 / k and above are infinite. Where the tail is level, k-hat is zero.

    Args:
        largest: the largest log weights, the largest first, (M + 1, B); the tail begins at the last one.

    Returns:
        k-hat, (B,), float64.

    Raises:
        ValueError: the tail has fewer than `MIN_TAIL` weights.
    """
    if len(largest) <= MIN_TAIL:
        raise ValueError(f"a tail of {len(largest) - 1} weights is too short: give at least {MIN_TAIL}")
    w = torch.exp(largest.double() - largest[0].double())
    exceedance = (w[:-1] - w[-1]).flip(0)  # (M, B), ascending
    is_level = ~(exceedance[-1] > MIN_RISE)  # true also where no weight is finite
    return _fit(exceedance.masked_fill(is_level, 1.0)).masked_fill(is_level, 0.0)


def _fit(x: Tensor) -> Tensor:
    """Fits the shape of a generalised Pareto distribution to each column of x, (M, B), positive and ascending.

    It is a posterior mean over a grid of b = -k / sigma (Zhang & Stephens), shrunk towards `PRIOR_K`.
    """
    m = len(x)
    num_points = 30 + int(math.sqrt(m))
    grid = 1 - torch.sqrt(num_points / (torch.arange(1, num_points + 1, dtype=x.dtype, device=x.device) - 0.5))
    quartile = x[int(m / 4 + 0.5) - 1].clamp(min=1e-6 * x[-1])  # ties at the start of the tail make it zero
    b = grid.unsqueeze(-1) / (3 * quartile) + 1 / x[-1]  # (G, B)
    k = torch.stack([torch.log1p(-each * x).mean(0) for each in b])
    profile = m * (torch.log(-b / k) - k - 1)
    weights = profile.nan_to_num(-math.inf).softmax(0)  # at b = 0 exactly the formula has no value
    k = torch.log1p(-(weights * b).sum(0) * x).mean(0)
    return (m * k + PRIOR_WEIGHT * PRIOR_K) / (m + PRIOR_WEIGHT)
