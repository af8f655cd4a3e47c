import dataclasses
import math

import pytest
import torch

from dgm_run.estimators.base import Estimate, Estimator, no_progress
from dgm_run.estimators.intervals import ComputingErrors, Margin, mean_and_stderr


def test_mean_and_standard_error_by_hand():
    mean, stderr = mean_and_stderr(torch.tensor([1.0, 2.0, 6.0]))
    assert mean == pytest.approx(3)
    assert stderr == pytest.approx(math.sqrt((4 + 1 + 9) / 2 / 3))  # the variance has n - 1 degrees of freedom


def test_one_example_has_no_standard_error():
    assert mean_and_stderr(torch.tensor([2.5])) == (2.5, None)


def test_mean_is_taken_in_double_precision():
    values = torch.full((1000,), 16_777_216.0)
    values[::2] += 2
    mean, stderr = mean_and_stderr(values)
    assert mean == 16_777_217
    assert stderr == pytest.approx(math.sqrt(1000 / 999 / 1000))


def test_error_has_nominal_coverage():
    z = [mean / stderr for mean, stderr in (mean_and_stderr(torch.randn(50)) for _ in range(2000))]
    assert torch.tensor(z).std().item() == pytest.approx(math.sqrt(49 / 47), abs=0.09)  # Student's t


def test_estimate_is_frozen_and_in_nats():
    estimate = Estimate("log_likelihood", "exact", "exact", -1.0, None, 3)
    assert (estimate.unit, estimate.settings) == ("nats", {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        estimate.value = 0.0


@pytest.mark.parametrize("value", [-math.inf, math.nan])
def test_infinite_value_has_no_error(value):
    shared = Margin(0.1, 0.2)
    found = Estimate.over(torch.tensor([1.0, value]), "log_likelihood", "ais", "estimate", ComputingErrors(shared))
    assert (found.stderr, found.interval, found.computing_interval) == (None, None, None)
    assert found.value == pytest.approx(value, nan_ok=True)


def test_estimator_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Estimator()


def test_a_report_can_go_nowhere():
    assert no_progress(1, 2) is None
