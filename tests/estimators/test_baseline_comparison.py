import pytest
import torch

from dgm_run.estimators.base import Baseline, Estimate
from dgm_run.estimators.baseline_comparison import warn_if_worse
from dgm_run.estimators.intervals import ComputingErrors, Margin

N = 400


def noise(seed, scale=1.0):
    return scale * torch.randn(N, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


DIFFICULTY = noise(0, 10.0)  # of the examples, alike for all models


def own(log_p, quantity="log_likelihood", estimator="exact", kind="exact", **more):
    return Estimate.over(log_p, quantity, estimator, kind, **more)


def baseline(log_p, name="ppca", quantity=None):
    return Estimate.over(log_p, quantity or name, "linear", "exact", baseline=Baseline(name, log_p, "try harder"))


def warnings(*estimates):
    return [each.warning for each in warn_if_worse(estimates)]


def test_model_below_baseline_warns():
    log_p = DIFFICULTY - 20
    found, _ = warnings(own(log_p - 1 + noise(1)), baseline(log_p))
    gap = (1 - noise(1)).mean().item()
    stderr = (noise(1).std() / N**0.5).item()
    assert found == f"worse than ppca ({log_p.mean():.2f}) by {gap:.2f} ± {stderr:.2g} nats: try harder"


def test_examples_are_paired():
    log_p = DIFFICULTY - 20  # whose standard error is 0.5
    assert warnings(own(log_p - 0.2 + noise(1, 0.1)), baseline(log_p))[0] is not None
    assert warnings(own(log_p - 0.2 + noise(1, 10.0)), baseline(log_p))[0] is None


@pytest.mark.parametrize("shift", [5.0, 0.0, -0.009])
def test_model_no_worse_gives_no_warning(shift):
    log_p = DIFFICULTY - 20
    assert warnings(own(log_p + shift), baseline(log_p)) == [None, None]


def test_the_best_baseline_is_named():
    log_p = DIFFICULTY
    found = warnings(baseline(log_p, "ppca"), own(log_p - 3), baseline(log_p + 1, "factor_analysis"))
    assert found[1].startswith(f"worse than factor_analysis ({log_p.mean() + 1:.2f}) by 4.00 ± 0 nats")


def test_warning_hedges_estimates_and_bounds():
    log_p = DIFFICULTY
    bound = own(log_p - 2, "elbo", "monte_carlo", "lower_bound")
    estimate = own(log_p - 1, kind="estimate", warning="few samples")
    found = warnings(estimate, bound, baseline(log_p))
    assert found[0].startswith("few samples\nworse than ppca")
    assert "nats, as far as this estimate tells: try harder" in found[0]
    assert found[1] is None  # beside a log-likelihood
    alone = warnings(bound, baseline(log_p))[0]
    assert alone.startswith("this lower bound lies below ppca")
    assert "the model may be better" in alone


@pytest.mark.parametrize(("above", "is_worse"), [(0.5, True), (3.0, False)])
def test_computing_error_prevents_a_warning(above, is_worse):
    errors = ComputingErrors(common=Margin(0.2, above))  # a bias, which may hide that the model is better
    likelihood = own(DIFFICULTY - 2, kind="estimate", errors=errors)
    assert ("worse than" in (warnings(likelihood, baseline(DIFFICULTY))[0] or "")) == is_worse


def test_partial_examples_add_errors():
    part = Estimate("log_likelihood", "ais", "estimate", -30.0, 1.0, 50)
    log_p = DIFFICULTY - DIFFICULTY.mean()
    stderr = ((DIFFICULTY.var() / N + 1.0) ** 0.5).item()
    assert f"by 30.00 ± {stderr:.2f} nats" in warnings(part, baseline(log_p))[0]
    unknown = Estimate("log_likelihood", "ais", "estimate", -30.0, None, 50)
    assert warnings(unknown, baseline(log_p)) == [None, None]


def test_sentences_compare_perplexity():
    log_p = DIFFICULTY
    counted = Estimate("perplexity", "2-gram", "exact", 31.5, 0.1, N, "", baseline=Baseline("2-gram", log_p, "train"))
    rows = [own(log_p - 1), Estimate("perplexity", "exact", "exact", 50.0, 0.1, N, ""), counted]
    found = warnings(*rows)
    assert found[0] is None
    assert found[1].startswith("worse than 2-gram (perplexity 31.50) by 1.00 ± 0 nats")


def test_a_collapsed_model_is_called_so_once():
    collapsed = own(DIFFICULTY - 1, warning="collapsed: no better than independent pixels")
    assert warnings(collapsed, baseline(DIFFICULTY))[0] == "collapsed: no better than independent pixels"


def test_without_a_baseline_nothing_changes():
    rows = [own(DIFFICULTY), own(DIFFICULTY, "elbo")]
    assert warn_if_worse(rows) == rows


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_what_is_not_finite_is_not_compared(value):
    log_p = DIFFICULTY.clone()
    log_p[0] = value
    assert warnings(own(log_p), baseline(DIFFICULTY)) == [None, None]


def test_interval_bias_prevents_a_warning():
    log_p = DIFFICULTY - 20
    found = Estimate("log_likelihood", "ais", "estimate", log_p.mean().item() - 3, 0.5, 50)
    assert "worse than ppca" in warnings(found, baseline(log_p))[0]
    biased = Estimate(*("log_likelihood", "ais", "estimate", found.value, 0.5, 50),
                      interval=(found.value - 1, found.value + 4))  # fmt: skip
    assert warnings(biased, baseline(log_p))[0] is None
