import math

import pytest

from dgm_run.recording.numbers import are_limits, is_number, is_pair


@pytest.mark.parametrize(
    ("value", "is_right"),
    [(1, True), (-2.5, True), (math.nan, True), (math.inf, True), (10**400, False), ("1", False), (None, False)],
)
def test_numbers_fit_a_float(value, is_right):
    assert is_number(value) == is_right


@pytest.mark.parametrize(
    ("value", "is_whole", "is_open"),
    [
        ([1, 2.0], True, True),
        ((1, 2), True, True),
        ([None, 2], False, True),
        ([None, None], False, True),
        ([1], False, False),
        ([1, "2"], False, False),
        ([1, 10**400], False, False),
        (None, False, False),
    ],
)
def test_pairs_may_be_open(value, is_whole, is_open):
    assert is_pair(value) == is_whole
    assert are_limits(value) == is_open
