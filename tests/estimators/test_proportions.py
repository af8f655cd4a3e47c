import pytest
import torch
from scipy.stats import binomtest

from dgm_run.estimators.proportions import bounded_interval, estimate_proportion, width_as_stderr, wilson_interval


@pytest.mark.parametrize(("hits", "num"), [(0, 360), (1, 20), (10, 20), (360, 360)])
def test_wilson_interval_is_that_of_scipy(hits, num):
    expected = binomtest(hits, num).proportion_ci(method="wilson")
    assert wilson_interval(hits / num, num) == pytest.approx(tuple(expected), abs=1e-12)


def test_no_mistake_of_many_is_no_certainty():
    found = estimate_proportion(torch.zeros(360), "error", "q(y|x)", "%")
    low, high = binomtest(0, 360).proportion_ci(method="wilson")
    assert (found.value, found.interval) == (0, pytest.approx((100 * low, 100 * high), abs=1e-9))
    assert found.stderr == pytest.approx(100 * (high - low) / 3.92, rel=1e-3)
    assert found.values.tolist() == [0] * 360


def test_bounded_interval_matches_trials():
    stderr = (0.3 * 0.7 / 50) ** 0.5
    assert bounded_interval(0.3, stderr, 9) == pytest.approx(wilson_interval(0.3, 50))
    assert bounded_interval(0.3, stderr, 9, max_num=20) == pytest.approx(wilson_interval(0.3, 20))
    assert bounded_interval(1.0, 0.0, 9) == pytest.approx(wilson_interval(1.0, 9))
    assert bounded_interval(0.3, None, 9) == pytest.approx(wilson_interval(0.3, 9))


def test_width_gives_the_normal_stderr():
    assert width_as_stderr((-1.959964, 1.959964)) == pytest.approx(1)
