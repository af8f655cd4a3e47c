"""Error measures of imputed elements against the true ones."""

from typing import NamedTuple

import torch
from torch import Tensor

MIN_PROBABILITY = 1e-3
"""Smallest probability of a binary element in the cross-entropy: the mean of few draws may be exactly zero or one."""


class SquaredError(NamedTuple):
    """Mean squared error over elements, and its standard error over examples with differing numbers of elements."""

    mean: float
    stderr: float | None

    @classmethod
    def measure(cls, guess: Tensor, truth: Tensor, is_target: Tensor) -> "SquaredError":
        """Averages the squared errors over the elements where `is_target`: (B, *shape) each."""
        squares = (guess - truth).square().masked_fill(~is_target, 0.0).flatten(1).double().sum(1)
        counts = is_target.flatten(1).double().sum(1)
        mean = squares.sum() / counts.sum()
        if len(counts) < 2:
            return cls(mean.item(), None)
        # linearises a ratio of two sums over the examples
        scatter = (squares - mean * counts).std() / counts.mean()
        return cls(mean.item(), (scatter / len(counts) ** 0.5).item())


def measure_binary(mean: Tensor, truth: Tensor) -> dict[str, float]:
    """Returns the cross-entropy in nats per element, and F1 of the ones, predicted where the mean exceeds one half.

    Args:
        mean, truth: (N,) each.
    """
    p = mean.double().clamp(MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    nll = -torch.where(truth == 1, p, 1 - p).log().mean().item()
    predicted = mean > 0.5
    true = truth == 1
    both = (predicted & true).sum().item()
    return {"nll": nll, "f1": 2 * both / max(1, predicted.sum().item() + true.sum().item())}


def choose_interval_rank(num_draws: int, share: float) -> tuple[int, float]:
    """Returns the rank j whose interval of draws has a coverage nearest to `share`, and that coverage.

    The interval goes from the j-th lowest to the j-th highest of K draws. All orders of K draws and a further draw of
    the same density are equally likely. So the interval contains the further draw with probability
    (K + 1 - 2 j) / (K + 1).
    """
    low = max(1, round((1 - share) / 2 * (num_draws + 1)))
    return low, 1 - 2 * low / (num_draws + 1)


def measure_interval(draws: Tensor, truth: Tensor, low: int) -> dict[str, float]:
    """Returns coverage and mean width of the interval between the `low`-th lowest and highest draws.

    Args:
        draws: (K, N).
        truth: (N,).
        low: rank of the ends.
    """
    ordered = draws.sort(0).values
    bottom = ordered[low - 1]
    top = ordered[len(draws) - low]
    inside = (truth >= bottom) & (truth <= top)
    return {"coverage": inside.double().mean().item(), "width": (top - bottom).double().mean().item()}
