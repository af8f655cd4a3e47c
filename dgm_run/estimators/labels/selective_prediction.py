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


def compute_risks(certainty: Tensor, is_wrong: Tensor) -> Tensor:
    """Returns the share of wrong decisions among the k most certain ones, k = 1 ... N: (N,)."""
    ordered = is_wrong.double()[certainty.argsort(descending=True)]
    return ordered.cumsum(0) / torch.arange(1, len(ordered) + 1, dtype=torch.float64, device=ordered.device)


def risk_at_coverage(certainty: Tensor, is_wrong: Tensor, coverage: float) -> float:
    """Returns the share of wrong decisions among the most certain ones, a share `coverage` of all."""
    return compute_risks(certainty, is_wrong)[math.ceil(coverage * len(certainty)) - 1].item()


def area_under_risk_curve(certainty: Tensor, is_wrong: Tensor) -> float:
    """Returns the mean of the risk over all coverages, the area under the risk-coverage curve."""
    return compute_risks(certainty, is_wrong).mean().item()
