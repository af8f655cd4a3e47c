import pytest
import torch

from dgm_run.estimators.labels.selective_prediction import (
    area_under_risk_curve,
    calibration_error,
    compute_risks,
    risk_at_coverage,
)


def test_calibration_is_the_mean_bin_gap():
    confidence = torch.tensor([0.95, 0.99, 1.0, 0.5, 0.51, 0.05])
    is_right = torch.tensor([1.0, 0, 1, 0, 1, 0])
    # bins of a fifteenth: (0.95, 0.99, 1.0), (0.5, 0.51), (0.05)
    expected = (abs(2.94 - 2) + abs(1.01 - 1) + 0.05) / 6
    assert calibration_error(confidence, is_right) == pytest.approx(expected, abs=1e-6)
    torch.manual_seed(0)
    p = torch.rand(200_000)
    assert calibration_error(p, (torch.rand(200_000) < p).float()) < 0.01


def test_declining_doubtful_lowers_risk():
    certainty, is_wrong = torch.tensor([3.0, 1.0, 2.0, 0.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
    assert compute_risks(certainty, is_wrong).tolist() == pytest.approx([0, 0, 1 / 3, 0.5])
    assert risk_at_coverage(certainty, is_wrong, 0.5) == 0
    assert risk_at_coverage(certainty, is_wrong, 0.75) == pytest.approx(1 / 3)
    assert risk_at_coverage(certainty, is_wrong, 1.0) == 0.5
    assert area_under_risk_curve(certainty, is_wrong) == pytest.approx((0 + 0 + 1 / 3 + 0.5) / 4)
    assert area_under_risk_curve(-certainty, is_wrong) > 0.6
