"""Evaluations under several seeds as one: their mean, and the error that is seen in their spread.

With R repeats the error of computing is that of a mean of R. Student's t over the repeats states it, or what each
repeat states of itself, where that is larger:

- The part of a stated margin that both sides have falls with the root of R. What one side has beyond the other is taken
  for a bias, which all repeats share, and stays.
- Examples: the square of a stated margin less that of computing, for an interval holds both. It is never less than the
  scatter over the examples has. Where the values of single examples are not known, nothing is taken off.

Each rule errs to the wide side: a row does not tell an error that all examples share from one of each example, and the
latter is counted in the scatter and in the spread.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dgm_run.estimators.base import Estimate
from dgm_run.estimators.intervals import NO_MARGIN, Margin, combine, margin_of_mean, mean_and_stderr


def average_repeats(repeats: Sequence[Sequence[Estimate]], seed: int) -> list[Estimate]:
    """Averages what an estimator found under each seed, row by row.

    Args:
        repeats: the estimates under `seed` and each of the seeds that follow it, in one order.
        seed: of the estimator. It stands in the settings where it is not 0, as `repeats` does where it is not 1.

    Raises:
        ValueError: two repeats have other rows.
    """
    noted = {"seed": seed} if seed else {}
    if len(repeats) > 1:
        noted["repeats"] = len(repeats)
    if not noted:
        return list(repeats[0])
    rows = [[(each.quantity, each.estimator) for each in estimates] for estimates in repeats]
    if any(each != rows[0] for each in rows):
        raise ValueError(f"its rows differ from seed to seed, and have no mean: {rows}: set repeats=1")
    averages = repeats[0] if len(repeats) == 1 else [_average(same) for same in zip(*repeats, strict=True)]
    return [replace(each, settings={**each.settings, **noted}) for each in averages]


def _average(estimates: Sequence[Estimate]) -> Estimate:
    found = torch.tensor([each.value for each in estimates], dtype=torch.float64)
    value = found.mean().item()
    spread = (found - found[0]).std().item()  # of equal values exactly zero
    computing = _computing_margin(estimates)
    values = _mean_values(estimates)
    examples = _examples_margin(estimates, values)
    total = combine(examples, computing) if examples else None
    diagnostics = {name: _mean([each.diagnostics.get(name) for each in estimates]) for name in estimates[0].diagnostics}
    return replace(
        estimates[0],
        value=value,
        stderr=_stderr(estimates, total),
        diagnostics={**diagnostics, "std_over_repeats": spread},
        warning="; ".join(_distinct_warnings(estimates)) or None,
        floor=_mean([each.floor for each in estimates]),
        interval=total.around(value) if total else None,
        computing_interval=computing.around(value) if any(computing) else None,
        values=values,
    )


def _computing_margin(estimates: Sequence[Estimate]) -> Margin:
    """Margin of computing in the mean over repeats."""
    stated = [_margin(each, each.computing_interval) or NO_MARGIN for each in estimates]
    return margin_of_mean([each.value for each in estimates], stated)


def _examples_margin(estimates: Sequence[Estimate], values: Tensor | None) -> Margin | None:
    """Margin of the choice of the examples; None where no interval is stated."""
    margins = [_margin(each, each.interval) for each in estimates]
    if any(each is None for each in margins):
        return None
    total = _mean_margin([each for each in margins if each])
    stderr = None if values is None else mean_and_stderr(values)[1]
    if values is None or stderr is None:
        return total
    scatter = Margin.student(stderr, len(values) - 1)
    computing = _mean_margin([_margin(each, each.computing_interval) or NO_MARGIN for each in estimates])
    return Margin(*map(_largest_rest, total, computing, scatter))


def _stderr(estimates: Sequence[Estimate], total: Margin | None) -> float | None:
    """The stated standard error, in the ratio in which the interval has changed."""
    stderr = _mean([each.stderr for each in estimates])
    if stderr is None or total is None:
        return None
    stated = _mean_margin([_margin(each, each.interval) or NO_MARGIN for each in estimates]).stderr
    return stderr * total.stderr / stated if stated else total.stderr


def _largest_rest(total: float, computing: float, scatter: float) -> float:
    return max(scatter, math.sqrt(max(0.0, total**2 - computing**2)))


def _margin(estimate: Estimate, interval: tuple[float, float] | None) -> Margin | None:
    if interval is None:
        return None
    return Margin.from_interval(estimate.value, interval)


def _mean_margin(margins: Sequence[Margin]) -> Margin:
    return Margin(*(sum(sides) / len(sides) for sides in zip(*margins, strict=True)))


def _mean(numbers: Sequence[float | None]) -> float | None:
    known = [each for each in numbers if each is not None]
    return sum(known) / len(known) if len(known) == len(numbers) else None


def _mean_values(estimates: Sequence[Estimate]) -> Tensor | None:
    values = [each.values for each in estimates if each.values is not None]
    return torch.stack(values).mean(0) if len(values) == len(estimates) else None


def _distinct_warnings(estimates: Sequence[Estimate]) -> list[str]:
    parts = [part for each in estimates if each.warning for part in each.warning.split("; ")]
    return list(dict.fromkeys(parts))
