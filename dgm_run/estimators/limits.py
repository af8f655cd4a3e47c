"""Limits of quantities, which their intervals do not pass."""

import math
from dataclasses import replace

from dgm_run.errors import join_warnings
from dgm_run.estimators.base import Estimate
from dgm_run.estimators.intervals import Limits

LOG_PROBABILITIES = ("log_likelihood", "elbo", "reconstruction", "pseudo_likelihood", "baseline", "true_log_likelihood")
"""First parts of names of quantities: `elbo`, and every `elbo_...`. For continuous data they have no limits."""
LIMITS_OF_DISCRETE_DATA: dict[str, Limits] = {
    **dict.fromkeys(LOG_PROBABILITIES, (None, 0.0)),
    "bits_per_dim": (0.0, None),
    "perplexity": (1.0, None),
}
LIMITS_OF_ALL_DATA: dict[str, Limits] = {"kl": (0.0, None), "kl_from_truth": (0.0, None)}
TOLERANCE = 1e-3
"""Distance beyond a limit that rounding and sampling may cause."""


def add_limits(estimate: Estimate, is_discrete: bool) -> Estimate:
    """Returns the estimate with the limits of its quantity, if it states none.

    Args:
        estimate: an estimate of the model or of a baseline.
        is_discrete: whether the data are discrete, so that p(x) is a probability and its logarithm at most zero.
    """
    limits = LIMITS_OF_ALL_DATA.get(estimate.quantity)
    if is_discrete:
        names = (each for each in LIMITS_OF_DISCRETE_DATA if f"{estimate.quantity}_".startswith(f"{each}_"))
        limits = next((LIMITS_OF_DISCRETE_DATA[name] for name in names), limits)
    limits = estimate.limits or limits
    warning = join_warnings(estimate.warning, _describe_impossible(estimate, limits))
    return replace(estimate, limits=limits, warning=warning)


def _describe_impossible(estimate: Estimate, limits: Limits | None) -> str | None:
    """Describes a value that the quantity cannot have; None for a possible one."""
    if math.isnan(estimate.value):
        return "it is not a number"
    low, high = limits or (None, None)
    if high is not None and estimate.value > high + TOLERANCE:
        return (
            f"it exceeds {high:g}, the largest value that it can have: the model gives no probabilities of these data"
        )
    if low is not None and estimate.value < low - TOLERANCE:
        return f"it is below {low:g}, the least value that it can have: the model gives no probabilities of these data"
    return None
