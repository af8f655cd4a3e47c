"""Verdicts: compares numbers of runs with published numbers."""

import math
from typing import Literal, NamedTuple

from dgm_run.report.tables import better_direction

Verdict = Literal["reproduced", "better", "worse", "differs", "a bound", "beyond the bound", "not finite"]


class Target(NamedTuple):
    """Published number to compare with.

    Attributes:
        value: the number.
        stderr: standard error that its source states; 0 for none.
        kind: kind of the number, one of `published.KINDS`.
    """

    value: float
    stderr: float
    kind: str


class Tolerance(NamedTuple):
    """Largest distance from a published number of the same unit that counts as reproduced.

    Attributes:
        distance: largest distance that always counts.
        errors_below: a distance within two standard errors also counts if these are below this bound.
    """

    distance: float
    errors_below: float


TOLERANCES = {"nats": Tolerance(0.5, 1.0), "bits": Tolerance(0.02, 0.05), "%": Tolerance(1.0, 0.0)}
OTHER_UNITS = Tolerance(0.0, math.inf)
STANDARD_ERRORS = 2


def judge(
    quantity: str, unit: str, value: float, stderr: float | None, target: Target, num_grey: int | None = None
) -> Verdict:
    """Compares a number with a published one.

    Args:
        quantity, unit, value, stderr: as in results.json.
        target: the published number.
        num_grey: number of grey values of an example, if the number is a density of them. It is then judged in bits per
            dimension, because a nat is little in a sum over many dimensions. None for other data.
    """
    if not math.isfinite(value):
        return "not finite"
    difference = round(value - target.value, 9)  # so that 0.5 is not 0.5000000001 by rounding errors
    error = stderr or 0.0
    better = better_direction(quantity)
    gain = difference if better == "higher" else -difference
    if target.kind == "bound":
        return "beyond the bound" if better and gain > STANDARD_ERRORS * error else "a bound"
    margin = STANDARD_ERRORS * math.hypot(error, target.stderr)
    distance, errors_below = _find_tolerance(unit, num_grey)
    if abs(difference) <= max(distance, margin if margin < errors_below else 0.0):
        return "reproduced"
    if better is None:
        return "differs"
    return "better" if gain > 0 else "worse"


def _find_tolerance(unit: str, num_grey: int | None) -> Tolerance:
    if unit == "nats" and num_grey:
        nats = num_grey * math.log(2)
        return Tolerance(*(nats * bits for bits in TOLERANCES["bits"]))
    return TOLERANCES.get(unit, OTHER_UNITS)
