import pytest
import torch

from dgm_run.estimators.labels.calibration import calibration_interval
from dgm_run.estimators.labels.selective_prediction import calibration_error


def draw(num, gap):
    """Confidences in two bins, and decisions that are right less often than they say."""
    confidence = torch.where(torch.rand(num) < 0.5, 0.7, 0.9)
    return confidence, (torch.rand(num) < confidence - gap).float()


@pytest.mark.parametrize("gap", [0.0, 0.03, 0.2])
def test_intervals_hold_the_true_error(gap):
    torch.manual_seed(0)
    found = [calibration_interval(*draw(300, gap)) for _ in range(400)]
    assert sum(low <= gap <= high for low, high in found) / 400 >= 0.93
    assert sum(high - low for low, high in found) / 400 < 0.13


def test_interval_holds_the_value_it_is_of():
    torch.manual_seed(0)
    confidence, is_right = draw(50, 0.0)
    low, high = calibration_interval(confidence, is_right)
    assert low <= calibration_error(confidence, is_right) <= high


def test_no_mistake_leaves_an_open_interval():
    low, high = calibration_interval(torch.ones(360), torch.ones(360))
    assert low == 0
    assert high == pytest.approx(3.84 / 360, rel=0.02)  # as Wilson's of no mistake
    assert calibration_interval(torch.ones(3), torch.ones(3)) is None
