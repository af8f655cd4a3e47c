"""Checks numbers read from JSON. It imports nothing heavy, because dgm-report uses it."""

from typing import Any


def is_number(value: Any) -> bool:
    """Returns whether a value is a number that a float can hold, NaN included."""
    try:
        return isinstance(value, int | float) and isinstance(float(value), float)
    except OverflowError:
        return False


def is_pair(value: Any) -> bool:
    """Returns whether a value is a pair of numbers."""
    return are_limits(value) and None not in value


def are_limits(value: Any) -> bool:
    """Returns whether a value is a pair of numbers, either of which may be None."""
    is_sequence = isinstance(value, list | tuple) and len(value) == 2
    return is_sequence and all(each is None or is_number(each) for each in value)
