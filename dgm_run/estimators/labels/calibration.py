"""Confidence interval of the calibration error that allows for its bias."""

import math

import torch
from torch import Tensor

from dgm_run.estimators.intervals import NORMAL_QUANTILE, mean_and_stderr, student_quantile
from dgm_run.estimators.labels.selective_prediction import calibration_error, place_in_bins, sum_in_bins

CORRELATION = 2 / math.pi
"""Correlation of the two halves under each other's signs where the true error is zero: E|a| E|b| of normals."""


def calibration_interval(confidence: Tensor, is_right: Tensor) -> tuple[float, float] | None:
    """Returns a 95% interval of the calibration error over the population; None for fewer than four examples.

    The error is the mean of s (confidence - is_right), with s the sign of the mean difference in the bin.

    - Lower end: with signs that do not depend on the examples the mean is at most the true error. So the signs of each
      half of the examples come from the other half.
    - Upper end: with the true signs the mean is at most the observed error, which takes its place. As in Wilson's
      interval, the sum of squares grows by the squared quantile, for mistakes that no example has shown.

    Args:
        confidence, is_right: (N,) in [0, 1] each, in random order.
    """
    num = len(confidence)
    if num < 4:
        return None
    difference = confidence.double() - is_right.double()
    bins = place_in_bins(confidence)
    half = torch.arange(num, device=confidence.device) % 2
    other_sums = [sum_in_bins(difference[half != side], bins[half != side]) for side in (0, 1)]
    signs = torch.stack(other_sums).sign()  # (2, NUM_BINS)
    crossed, stderr = mean_and_stderr(signs[half, bins] * difference)
    value = calibration_error(confidence, is_right)
    t = student_quantile(num - 1)
    signed = sum_in_bins(difference, bins).sign()[bins] * difference
    squares = (signed - signed.mean()).square().sum().item() + NORMAL_QUANTILE**2
    low = max(0.0, crossed - t * math.sqrt(1 + CORRELATION) * (stderr or 0.0))
    return min(low, value), min(1.0, value + t * math.sqrt(squares) / num)
