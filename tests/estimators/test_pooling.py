import math

import pytest

from dgm_run.estimators.intervals import Margin
from dgm_run.estimators.pooling import Number, merge_warnings, pool


def test_computing_error_falls_with_the_root():
    found = pool([Number(2.0, 0.1, (1.8, 2.2), (1.8, 2.2))] * 4, None)
    assert found.interval == found.computing_interval == pytest.approx((1.9, 2.1))
    assert found.stderr == pytest.approx(0.05)


def test_a_bias_leaves_the_standard_error():
    found = pool([Number(0.0, 0.5, (-1.0, 4.0), (-0.1, 3.1))] * 9, Margin(1.0, 1.0))
    assert found.computing_interval == pytest.approx((-0.1 / 3, 3 + 0.1 / 3))
    assert 0.45 < found.stderr <= 0.5


def test_infinite_margin_has_infinite_error():
    ends = (-math.inf, math.inf)
    found = pool([Number(0.0, math.inf, ends, ends)] * 2, None)
    assert found.stderr == math.inf
    assert found.interval == ends


def test_stderr_without_interval_stays():
    assert pool([Number(0.0, 0.3, None, None)] * 2, None) == (0.0, 0.3, None, None)


def test_warnings_merge_up_to_numbers():
    warnings = ["tails of 45%: take more\nworse by 4.80 ± 0.064", None, "tails of 6%: take more\nslow"]
    assert merge_warnings(warnings) == "tails of 45%: take more\nworse by 4.80 ± 0.064\nslow"
    assert merge_warnings(["0.5 nats below", "0.5 nats above"]) == "0.5 nats below\n0.5 nats above"
    assert merge_warnings([None, ""]) is None
