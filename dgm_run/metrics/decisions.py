"""How good decisions are that may be declined: calibration, and risk against coverage.

Sources: C. Guo et al., On calibration of modern neural networks, 2017, https://arxiv.org/abs/1706.04599; Y. Geifman,
R. El-Yaniv, Selective classification for deep neural networks, 2017, https://arxiv.org/abs/1705.08500.
"""

import math

import torch
from torch import Tensor

BINS = 15


def calibration_error(confidence: Tensor, is_right: Tensor) -> float:
    """How far confidence and accuracy lie apart, of (N,) in [0, 1] each: the mean over bins of equal width."""
    place = (confidence * BINS).long().clamp(max=BINS - 1)
    sums = torch.zeros(BINS, dtype=torch.float64, device=confidence.device)
    apart = sums.index_add(0, place, confidence.double() - is_right.double())
    return (apart.abs().sum() / len(confidence)).item()


def risks(score: Tensor, is_wrong: Tensor) -> Tensor:
    """Share of wrong decisions among the k with the largest scores, k = 1 ... N: (N,)."""
    ordered = is_wrong.double()[score.argsort(descending=True)]
    return ordered.cumsum(0) / torch.arange(1, len(ordered) + 1, dtype=torch.float64, device=ordered.device)


def risk_at(score: Tensor, is_wrong: Tensor, coverage: float) -> float:
    """Share of wrong decisions where only this share of them is made, those with the largest scores."""
    return risks(score, is_wrong)[math.ceil(coverage * len(score)) - 1].item()


def area_under_risk(score: Tensor, is_wrong: Tensor) -> float:
    """The mean of the risk over all coverages."""
    return risks(score, is_wrong).mean().item()
