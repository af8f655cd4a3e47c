"""An interval of the calibration error that allows for its bias."""

import math

import torch
from torch import Tensor

from dgm_run.estimators.intervals import NORMAL, mean_and_stderr, student_quantile
from dgm_run.estimators.labels.selective_prediction import calibration_error, place_in_bins, sum_in_bins

CORRELATION = 2 / math.pi
"""Correlation of the two halves under each other's signs where the true error is zero: E|a| E|b| of normals."""


def calibration_interval(confidence: Tensor, is_right: Tensor) -> tuple[float, float] | None:
    """Returns a 95% interval of the calibration error over the population; None for fewer than four examples.

    The error is the mean of s (confidence - is_right), with s the sign of the mean difference in the bin.

    - Lower end: with signs that do not depend on the examples the mean is at most the true error. The signs of each
      half of the examples come from the other half.
    - Upper end: with the true signs the mean is at most the observed error, which stands in its place. The sum of
      squares has z^2 more, as in Wilson's interval, for mistakes that no example has shown.

    Args:
        confidence, is_right: (N,) in [0, 1] each, in random order.
    """
    num = len(confidence)
    if num < 4:
        return None
    apart = confidence.double() - is_right.double()
    place = place_in_bins(confidence)
    half = torch.arange(num, device=confidence.device) % 2
    signs = torch.stack([sum_in_bins(apart[half != side], place[half != side]) for side in (0, 1)]).sign()  # (2, BINS)
    crossed, stderr = mean_and_stderr(signs[half, place] * apart)
    value = calibration_error(confidence, is_right)
    t = student_quantile(num - 1)
    found = sum_in_bins(apart, place).sign()[place] * apart
    squares = (found - found.mean()).square().sum().item() + NORMAL**2
    low = max(0.0, crossed - t * math.sqrt(1 + CORRELATION) * (stderr or 0.0))
    return min(low, value), min(1.0, value + t * math.sqrt(squares) / num)
