"""Paths of annealing that double until an estimate meets its target."""

from collections.abc import Callable
from typing import Any, TypeVar

from dgm_run.estimators.base import ProgressCallback, continue_progress, no_progress

T = TypeVar("T")


def check_target(name: str, target: float | None, max_num_temperatures: int | None) -> None:
    """Refuses a target of a path that doubles until it meets it.

    Raises:
        ValueError: the target is not positive, or there is no limit at which the path stops doubling.
    """
    if target is None:
        return
    if not target > 0:
        raise ValueError(f"{name} = {target} must be positive; {name}=null anneals along one path")
    if max_num_temperatures is None:
        raise ValueError(
            f"{name} = {target} needs max_num_temperatures, at which the path stops doubling: "
            f"set it, or {name}=null for one path"
        )


def double_until(
    is_met: Callable[[T], bool],
    anneal: Callable[[int, ProgressCallback], T],
    num: int,
    max_num: int,
    report: ProgressCallback = no_progress,
) -> T:
    """Anneals along paths of num, 2 num, ... temperatures until one meets the target, or the next would be too long.

    A path that ends the doubling may have met the target by chance, which would understate its error. So one more path
    of its length, which need not meet the target, is the one that counts.

    Args:
        is_met: whether an estimate meets the target.
        anneal: estimates along a path of so many temperatures, with new draws; it reports its progress.
        num: temperatures of the first path.
        max_num: largest number of temperatures.
        report: receives the progress over all paths.

    Returns:
        The estimate of the last path.
    """
    estimate = anneal(num, report)
    past = num
    while not is_met(estimate) and 2 * num <= max_num:
        num *= 2
        estimate = anneal(num, continue_progress(report, past))
        past += num
        if is_met(estimate) and 2 * num <= max_num:
            return anneal(num, continue_progress(report, past))
    return estimate


def list_target(name: str, target: float | None, num: int, max_num: int | None) -> dict[str, Any]:
    """Returns the settings of a target of paths from `num` to `max_num` temperatures; none without a target."""
    return {} if target is None else {name: target, "max_num_temperatures": max(num, max_num or 0)}
