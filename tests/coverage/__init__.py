"""Coverage of stated 95% intervals, for every estimator, on models whose truth is known.

`python -m tests.coverage` prints the table that stands in the documentation; `tests/test_coverage.py` holds it to
its limits. A module of this package has a list `CASES`.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import NamedTuple

import torch

from dgm_run.estimators.base import Estimate

REPETITIONS = 200
FIRST_SEED = 100_000
"""Seeds below it may be used to tune an estimator, those from here on to test it."""


class Truth(NamedTuple):
    """True values that the intervals of an estimate should hold.

    Attributes:
        population: what its interval has to hold; None where it is not known.
        examples: what its computing interval has to hold: the value of exact computing on the same examples.
    """

    population: float | None
    examples: float | None = None


class Case(NamedTuple):
    """A model, a quantity and the estimator of it.

    Attributes:
        model: in words.
        estimator: in words, with the settings that matter.
        repeat: makes one evaluation with fresh examples and draws, and the truth; torch is seeded for it.
    """

    model: str
    estimator: str
    repeat: Callable[[], tuple[Estimate, Truth]]


class Coverage(NamedTuple):
    """Shares of repetitions whose intervals hold the truth; None where the truth or the interval is not known."""

    interval: float | None
    computing_interval: float | None


def all_cases() -> list[Case]:
    modules = [importlib.import_module(f"{__name__}.{each.name}") for each in pkgutil.iter_modules(__path__)]
    return [case for module in modules for case in getattr(module, "CASES", [])]


def measure(case: Case, repetitions: int = REPETITIONS, first_seed: int = FIRST_SEED) -> Coverage:
    held: list[bool] = []
    held_by_computing: list[bool] = []
    for seed in range(first_seed, first_seed + repetitions):
        torch.manual_seed(seed)
        estimate, truth = case.repeat()
        if truth.population is not None:
            held.append(_holds(estimate.interval, truth.population))
        if truth.examples is not None:
            held_by_computing.append(_holds(estimate.computing_interval, truth.examples))
    return Coverage(_share(held), _share(held_by_computing))


def _holds(interval: tuple[float, float] | None, truth: float) -> bool:
    assert interval is not None
    return interval[0] <= truth <= interval[1]


def _share(held: list[bool]) -> float | None:
    return sum(held) / len(held) if held else None
