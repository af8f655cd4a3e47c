"""How far restored elements are from the true ones."""

from typing import NamedTuple

import torch
from torch import Tensor

MIN_PROBABILITY = 1e-3
"""Of a binary element, for the cross-entropy: means of few draws are zero or one now and then."""


class Errors(NamedTuple):
    """The mean squared error over elements, and its standard error over examples, not all of which have as many."""

    mean: float
    stderr: float | None

    @classmethod
    def of(cls, guess: Tensor, truth: Tensor, asked: Tensor) -> "Errors":
        """Over the elements where `asked`: (B, *shape) each."""
        squares = (guess - truth).square().masked_fill(~asked, 0.0).flatten(1).double().sum(1)
        counts = asked.flatten(1).double().sum(1)
        mean = squares.sum() / counts.sum()
        if len(counts) < 2:
            return cls(mean.item(), None)
        # of a ratio of two sums over the examples, linearised
        scatter = (squares - mean * counts).std() / counts.mean()
        return cls(mean.item(), (scatter / len(counts) ** 0.5).item())


def binary_scores(mean: Tensor, truth: Tensor) -> dict[str, float]:
    """Cross-entropy in nats an element, and F1 of the ones where the mean exceeds one half: (N,), (N,)."""
    p = mean.double().clamp(MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    nll = -torch.where(truth == 1, p, 1 - p).log().mean().item()
    told = mean > 0.5
    true = truth == 1
    both = (told & true).sum().item()
    return {"nll": nll, "f1": 2 * both / max(1, told.sum().item() + true.sum().item())}


def ranks_of_interval(num_draws: int, share: float) -> tuple[int, float]:
    """The rank j from below, and from above, whose draws hold a new one as nearly as can be in this share of cases.

    K draws and a new one of the same density are in any order: between the j-th and the (K + 1 - j)-th of them it lies
    with probability (K + 1 - 2 j) / (K + 1), which is returned as well.
    """
    low = max(1, round((1 - share) / 2 * (num_draws + 1)))
    return low, 1 - 2 * low / (num_draws + 1)


def interval(draws: Tensor, truth: Tensor, low: int) -> dict[str, float]:
    """The share of true values, (N,), between the ranks `low` of their draws, (K, N), and how wide that is."""
    ordered = draws.sort(0).values
    bottom = ordered[low - 1]
    top = ordered[len(draws) - low]
    inside = (truth >= bottom) & (truth <= top)
    return {"coverage": inside.double().mean().item(), "width": (top - bottom).double().mean().item()}
