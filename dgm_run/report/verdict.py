"""Verdicts: compares numbers of runs with published numbers."""

import math
from typing import Literal, NamedTuple

from dgm_run.report.tables import better_direction

Verdict = Literal["reproduced", "better", "worse", "differs", "a bound", "beyond the bound", "not finite"]


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


def judge(quantity: str, unit: str, value: float, stderr: float | None, published: float, kind: str) -> Verdict:
    """Compares a number with a published one, which has no error of its own.

    Args:
        quantity, unit, value, stderr: as in results.json.
        published: the published number.
        kind: kind of the published number, one of `published.KINDS`.
    """
    if not math.isfinite(value):
        return "not finite"
    difference = round(value - published, 9)  # so that 0.5 is not 0.5000000001 by rounding errors
    margin = STANDARD_ERRORS * (stderr or 0.0)
    better = better_direction(quantity)
    gain = difference if better == "higher" else -difference
    if kind == "bound":
        return "beyond the bound" if better and gain > margin else "a bound"
    distance, errors_below = TOLERANCES.get(unit, OTHER_UNITS)
    if abs(difference) <= max(distance, margin if margin < errors_below else 0.0):
        return "reproduced"
    if better is None:
        return "differs"
    return "better" if gain > 0 else "worse"
