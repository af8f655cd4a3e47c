"""Selective prediction: calibration, and risk against coverage where decisions may be declined.

Sources: C. Guo et al., On calibration of modern neural networks, 2017, https://arxiv.org/abs/1706.04599; Y. Geifman,
R. El-Yaniv, Selective classification for deep neural networks, 2017, https://arxiv.org/abs/1705.08500.
"""

import math

import torch
from torch import Tensor

NUM_BINS = 15


def calibration_error(confidence: Tensor, is_right: Tensor) -> float:
    """Returns the expected calibration error: the mean distance of confidence and accuracy over bins of equal width.

    Chance alone makes it positive: its bias is about the mean over bins of the standard error of a bin.

    Args:
        confidence, is_right: (N,) in [0, 1] each.
    """
    differences = sum_in_bins(confidence.double() - is_right.double(), place_in_bins(confidence))  # (NUM_BINS,)
    return (differences.abs().sum() / len(confidence)).item()


def place_in_bins(confidence: Tensor) -> Tensor:
    """Returns the index of each confidence's bin, (N,), among NUM_BINS bins of equal width."""
    return (confidence * NUM_BINS).long().clamp(max=NUM_BINS - 1)


def sum_in_bins(values: Tensor, bins: Tensor) -> Tensor:
    """Sums values, (N,), within their bins, (N,): (NUM_BINS,)."""
    return values.new_zeros(NUM_BINS).index_add(0, bins, values)


def risks(score: Tensor, is_wrong: Tensor) -> Tensor:
    """Returns the share of wrong decisions among the k with the largest scores, k = 1 ... N: (N,)."""
    ordered = is_wrong.double()[score.argsort(descending=True)]
    return ordered.cumsum(0) / torch.arange(1, len(ordered) + 1, dtype=torch.float64, device=ordered.device)


def risk_at(score: Tensor, is_wrong: Tensor, coverage: float) -> float:
    """Returns the share of wrong decisions among those with the largest scores, a share `coverage` of all."""
    return risks(score, is_wrong)[math.ceil(coverage * len(score)) - 1].item()


def area_under_risk(score: Tensor, is_wrong: Tensor) -> float:
    """Returns the mean of the risk over all coverages."""
    return risks(score, is_wrong).mean().item()
