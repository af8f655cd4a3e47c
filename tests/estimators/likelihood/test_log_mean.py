import math

import pytest
import torch
from scipy import stats

from dgm_run.estimators.intervals import NO_MARGIN
from dgm_run.estimators.likelihood.log_mean import MAX_BELOW, log_mean_margin
from dgm_run.models.base import log_mean_exp

NUM = 100


def normal(scale):
    return lambda: scale * torch.randn(NUM, dtype=torch.float64), scale**2 / 2


def gamma(shape, scale):
    """log w falls off to the left, and E w is known."""
    draw = torch.distributions.Gamma(torch.tensor(shape, dtype=torch.float64), 1 / scale)
    return lambda: -draw.sample((NUM,)), -shape * math.log1p(scale)


def mixture(share, height):
    """A share of the weights is e^height times as large."""

    def draw():
        return 0.5 * torch.randn(NUM, dtype=torch.float64) + height * (torch.rand(NUM) < share)

    return draw, 0.125 + math.log1p(share * math.expm1(height))


CASES = {
    **{"normal_1": normal(1.0), "normal_4": normal(4.0), "gamma_1": gamma(1.0, 2.0), "mixture": mixture(0.1, 3.0)},
    **{"normal_0.3": normal(0.3), "normal_2": normal(2.0), "gamma_4": gamma(4.0, 1.0)},
}
SLOW_CASES = ("normal_0.3", "normal_2", "gamma_4")


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=name, marks=pytest.mark.slow if name in SLOW_CASES else ()) for name, case in CASES.items()],
)
def test_intervals_hold_the_log_of_the_mean(case):
    torch.manual_seed(1000)
    draw, truth = case
    held = 0
    for _ in range(200):
        log_w = draw()
        low, high = log_mean_margin(log_w).around(log_mean_exp(log_w).item())
        held += low <= truth <= high
    assert 0.91 <= held / 200 <= 0.99


def test_even_weights_match_the_delta_method():
    torch.manual_seed(0)
    log_w = 0.1 * torch.randn(1000, dtype=torch.float64)
    stderr = (log_w.exp().std() / log_w.exp().mean() / math.sqrt(1000)).item()
    margin = log_mean_margin(log_w)
    assert margin.below == pytest.approx(1.96 * stderr, rel=0.1)
    assert margin.above == pytest.approx(1.96 * stderr, rel=0.4)


def test_interval_is_deterministic():
    log_w = torch.randn(20)
    torch.manual_seed(1)
    first, after = log_mean_margin(log_w), torch.rand(())
    torch.manual_seed(1)
    assert torch.rand(()) == after
    assert log_mean_margin(log_w) == first


def test_equal_weights_have_no_error():
    assert log_mean_margin(torch.full((10,), -3.0)) == NO_MARGIN


def test_lower_end_is_bounded_by_markov():
    log_w = torch.tensor([0.0, 1.0])
    assert log_mean_margin(log_w).below == pytest.approx(MAX_BELOW) == pytest.approx(math.log(40))


@pytest.mark.parametrize("num", [2, 3, 10])
def test_few_weights_have_a_wide_interval(num):
    log_w = torch.linspace(0, 1, num)
    stderr = log_w.std().item() / math.sqrt(num)
    margin = log_mean_margin(log_w)
    assert stats.t.ppf(0.975, num - 1) * stderr == pytest.approx(margin.below, rel=0.1) or margin.below > 2
    assert margin.below <= margin.above < math.inf


def test_chains_without_weight_count():
    log_w = torch.zeros(50)
    log_w[:25] = -math.inf
    low, high = log_mean_margin(log_w).around(-math.log(2))
    assert low < -math.log(2) < high < 1
    assert log_mean_margin(torch.tensor([0.0, -math.inf, -math.inf])).above == math.inf
    assert log_mean_margin(torch.tensor([0.0, math.nan])) == NO_MARGIN


@pytest.mark.parametrize("log_w", [[0.0, 1.0, math.inf], [0.0, 1.0, math.nan], [-math.inf, math.inf]])
def test_infinite_weights_have_no_margin(log_w):
    assert log_mean_margin(torch.tensor(log_w)) == NO_MARGIN


def test_logs_that_differ_by_rounding_alone():
    log_w = torch.tensor([0.0, -1e-17, -2e-17, 1e-17], dtype=torch.float64)
    margin = log_mean_margin(log_w)
    assert max(margin) < 1e-15
