import math

import pytest

from dgm_run.estimators.base import Estimate
from dgm_run.estimators.limits import add_limits


def estimate(quantity, value, **more):
    interval = (value - 1.0, value + 1.0)
    return Estimate(quantity, "e", "estimate", value, 0.5, 9, interval=interval, computing_interval=interval, **more)


@pytest.mark.parametrize(
    ("quantity", "value", "interval"),
    [
        ("log_likelihood", -0.5, (-1.5, 0.0)),
        ("log_likelihood_seen_half", -0.5, (-1.5, 0.0)),
        ("elbo", -3.0, (-4.0, -2.0)),
        ("bits_per_dim", 0.2, (0.0, 1.2)),
        ("perplexity", 1.5, (1.0, 2.5)),
        ("kl", 0.5, (0.0, 1.5)),
        ("log_partition", -0.5, (-1.5, 0.5)),
        ("log_likelihood", 1.5, (0.5, 2.5)),  # no probability, and shown as it is
    ],
)
def test_intervals_end_at_limits(quantity, value, interval):
    found = add_limits(estimate(quantity, value), is_discrete=True)
    assert found.interval == found.computing_interval == pytest.approx(interval)


def test_densities_have_no_limit():
    found = add_limits(estimate("log_likelihood", -0.5), is_discrete=False)
    assert (found.limits, found.interval) == (None, (-1.5, 0.5))


def test_stated_limits_stay():
    assert add_limits(estimate("elbo", 0.5, limits=(0.0, 1.0)), is_discrete=True).interval == (0.0, 1.0)


def test_nan_in_diagnostics_is_unknown():
    found = estimate("elbo", 0.5, diagnostics={"k": math.nan, "ess": 2.0, "other": None})
    assert found.diagnostics == {"k": None, "ess": 2.0, "other": None}
