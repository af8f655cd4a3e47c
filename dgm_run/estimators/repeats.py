"""Repeats of an estimator under several seeds: the mean of their estimates."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dgm_run.estimators.base import Estimate
from dgm_run.estimators.intervals import Margin, mean_and_stderr
from dgm_run.estimators.pooling import Number, merge_warnings, pool

ERRORS_OF_ONE_REPEAT = ("log_z_low", "log_z_high", "monte_carlo_stderr", "raise_gap_stderr")
"""Diagnostics that state an error of one evaluation; the intervals of the mean state the error of the mean."""


def average_repeats(repeats: Sequence[Sequence[Estimate]], seed: int) -> list[Estimate]:
    """Averages the estimates of an estimator under several seeds, row by row.

    Args:
        repeats: the estimates under `seed` and each of the seeds that follow it, in one order.
        seed: seed of the estimator. It stands in the settings where it is not 0, like `repeats` where it is not 1.
            Exact numbers have neither, because they use no draws.

    Raises:
        ValueError: two repeats have different rows.
    """
    settings = {"seed": seed} if seed else {}
    if len(repeats) > 1:
        settings["repeats"] = len(repeats)
    if not settings:
        return list(repeats[0])
    rows = [[(each.quantity, each.estimator) for each in estimates] for estimates in repeats]
    if any(each != rows[0] for each in rows):
        raise ValueError(f"the rows differ from seed to seed, so they have no mean: {rows}: set repeats=1")
    averages = repeats[0] if len(repeats) == 1 else [_average(same) for same in zip(*repeats, strict=True)]
    return [each if _is_exact(each) else replace(each, settings={**each.settings, **settings}) for each in averages]


def _is_exact(estimate: Estimate) -> bool:
    """Returns whether a number uses no draws: by its estimator, as the kind of exact dequantised bits is a bound."""
    return "exact" in (estimate.kind, estimate.estimator)


def _average(estimates: Sequence[Estimate]) -> Estimate:
    if all(map(_is_exact, estimates)):
        return estimates[0]
    means = torch.tensor([each.value for each in estimates], dtype=torch.float64)
    spread = (means - means[0]).std().item()  # exactly zero for equal means
    values = _mean_values(estimates)
    stderr = None if values is None else mean_and_stderr(values)[1]
    scatter = None if values is None or stderr is None else Margin.student(stderr, len(values) - 1)
    stated = [Number(each.value, each.stderr, each.interval, each.computing_interval) for each in estimates]
    diagnostics = {
        name: _mean([each.diagnostics.get(name) for each in estimates])
        for name in estimates[0].diagnostics
        if name not in ERRORS_OF_ONE_REPEAT
    }
    return replace(
        estimates[0],
        **pool(stated, scatter)._asdict(),
        diagnostics={**diagnostics, "std_over_repeats": spread},
        warning=merge_warnings(each.warning for each in estimates),
        train_reference=_mean([each.train_reference for each in estimates]),
        values=values,
    )


def _mean(numbers: Sequence[float | None]) -> float | None:
    known = [each for each in numbers if each is not None]
    return sum(known) / len(known) if len(known) == len(numbers) else None


def _mean_values(estimates: Sequence[Estimate]) -> Tensor | None:
    values = [each.values for each in estimates if each.values is not None]
    return torch.stack(values).mean(0) if len(values) == len(estimates) else None
