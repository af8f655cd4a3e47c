"""Simulated tables of equally good rows: at most one in twenty shows a difference."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from dgm_run.estimators.base import Estimate
from dgm_run.estimators.intervals import NO_ERRORS, NORMAL_QUANTILE, ComputingErrors, Margin
from dgm_run.estimators.likelihood.log_mean import log_mean_margin
from dgm_run.models.base import log_mean_exp
from dgm_run.recording.estimate_id import values_key
from dgm_run.report.groups import group_runs
from dgm_run.report.rows import Difference
from dgm_run.report.runs import Run
from dgm_run.report.tables import make_tables
from dgm_run.runner import results

NUM_TABLES = 300
NUM_EXAMPLES = 60

SPREAD = 0.3
"""Standard deviation over the runs of a configuration, nats."""
SCATTER = 1.0
"""Of what an example has beside what it has under all models."""
NOISE = 0.7
"""Of Monte Carlo on each example."""


def most(num_tables):
    """Tables that may show a difference: one in twenty, and two standard deviations of that."""
    return 0.05 * num_tables + 2 * math.sqrt(num_tables * 0.05 * 0.95)


def estimate(log_p, method, draws):
    """A number as an estimator states it: exact, of noisy examples, or with an error that all of them share.

    That is of log Z by the weights of chains, or has a scale of its own on either side.
    """
    errors = NO_ERRORS
    if method == "sampled":
        log_p = log_p + draws.normal(0, NOISE, len(log_p))
        errors = ComputingErrors(draws=Margin.student(NOISE / math.sqrt(len(log_p))))
    elif method == "ais":
        scale = draws.uniform(0.5, 2.5)  # of the log-weights of 100 chains, normal with an expected weight of 1
        log_w = torch.from_numpy(draws.normal(-(scale**2) / 2, scale, 100))
        log_p = log_p - log_mean_exp(log_w).item()
        errors = ComputingErrors(common=log_mean_margin(log_w).scale(-1))
    elif method == "skewed":
        below, above = draws.uniform(0.1, 0.5, 2)
        size = abs(draws.normal())  # the value is as often high as low, each by a half-normal error
        log_p = log_p + size * (below if draws.random() < 0.5 else -above)
        errors = ComputingErrors(common=Margin(NORMAL_QUANTILE * below, NORMAL_QUANTILE * above))
    return Estimate.over(torch.from_numpy(log_p), "log_likelihood", method, "estimate", errors)


def run(name, seed, log_p, method, draws):
    found = estimate(log_p, method, draws)
    row = results.make_row(found, "test", 1.0)
    settings = {"model._target_": f"models.{name}", "dataset.name": "simulated", "seed": seed}
    told = {"dataset": "simulated", "preprocessing": "none", "estimates": [row], "published": None}
    return Run(Path(f"{name}{seed}"), "finished", "", settings, told, {values_key(row): found.values.numpy()})


def table(nums, method, draws, spread=lambda row: SPREAD, gain=0.0):
    """Rows of configurations that are as good over all examples, of so many runs each; the first is better by `gain`.

    The runs of one configuration have something in common on each example. A single run of each is a trained model.
    """
    base = draws.normal(-90, 5, NUM_EXAMPLES)
    runs = []
    for i, num in enumerate(nums):
        shared = base + draws.normal(0, SCATTER, NUM_EXAMPLES) + gain * (i == 0)
        for seed in range(num):
            log_p = shared + draws.normal(0, SCATTER, NUM_EXAMPLES)
            if max(nums) > 1:
                log_p += draws.normal(0, spread(i))
            runs.append(run(f"M{i}", seed, log_p, method, draws))
    ((_, rows),) = make_tables(group_runs(runs))
    return rows


def has_difference(rows):
    told = [row.difference for row in rows[1:]]
    assert all(isinstance(each, Difference) for each in told)
    return any(not each.low <= 0 <= each.high for each in told)


def count(kind, method, draws, num_tables=NUM_TABLES, **more):
    return sum(has_difference(table(nums_of(kind, draws), method, draws, **more)) for _ in range(num_tables))


def nums_of(kind, draws):
    num_rows = draws.integers(2, 7)
    if kind == "mixed":
        return [1, 3, *draws.choice([1, 3], num_rows - 2)]
    if kind == "uneven":
        return draws.choice([2, 3, 5], num_rows)
    return [kind] * num_rows


METHODS = ("exact", "sampled", "ais", "skewed")
KINDS = (1, 2, 3, 5, "mixed", "uneven")
"""How many runs each row has: so many, one or three, two to five."""


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_equal_rows_show_few_differences(kind, method):
    draws = np.random.default_rng([22, KINDS.index(kind), METHODS.index(method)])
    assert count(kind, method, draws) <= most(NUM_TABLES)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS[1:])
def test_unequal_spreads_rarely_differ(kind):
    """A configuration may depend on its seed twenty times as much as another."""
    draws = np.random.default_rng([23, KINDS.index(kind)])
    num_false = 0
    for _ in range(NUM_TABLES):
        spreads = np.exp(draws.uniform(math.log(0.05), math.log(1.0), 6))
        num_false += has_difference(table(nums_of(kind, draws), "exact", draws, spread=spreads.__getitem__))
    assert num_false <= most(NUM_TABLES)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "gain"), [(1, 1.0), (3, 4.0), (5, 1.8)])
def test_large_differences_are_seen(kind, gain):
    """Intervals that hide everything would pass as well."""
    draws = np.random.default_rng([24, kind])
    assert count(kind, "exact", draws, 100, gain=gain) >= 90
