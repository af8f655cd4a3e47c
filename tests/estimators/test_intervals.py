import math

import numpy as np
import pytest
import torch
from scipy import stats

from dgm_run.estimators.base import Estimate
from dgm_run.estimators.intervals import (
    NO_BIAS,
    NO_MARGIN,
    NORMAL_QUANTILE,
    Bias,
    ComputingErrors,
    Margin,
    clip_interval,
    combine,
    contradicts,
    margin_of_mean,
    student_quantile,
)


def test_student_quantiles():
    assert student_quantile(4) == pytest.approx(stats.t.ppf(0.975, 4))
    assert student_quantile(math.inf) == pytest.approx(NORMAL_QUANTILE) == pytest.approx(stats.norm.ppf(0.975))
    assert student_quantile(math.inf, 0.9) == pytest.approx(stats.norm.ppf(0.95))


def test_a_margin_scales_and_turns():
    margin = Margin(1.0, 3.0)
    assert margin.around(10) == (9, 13)
    assert margin.scale(2) == (2, 6)
    assert margin.scale(-2) == (6, 2)
    assert Margin.student(2.0).stderr == pytest.approx(2.0)


def test_bias_widens_towards_the_truth():
    assert NO_BIAS.widen(Margin(1.0, 3.0)) == (1, 3)
    assert Bias(-2.0).widen(Margin(1.0, 3.0)) == (1, 5)  # a value that is low
    assert Bias(0.5).widen(Margin(1.0, 3.0)) == (1.5, 3)
    assert Bias(-2.0, 4 / NORMAL_QUANTILE).widen(Margin(1.0, 3.0)) == pytest.approx((1, 7))
    assert Bias(-2.0, 1.0).scale(-3) == (6, 3)


def test_sum_with_estimated_bias_is_covered():
    # the value is low by 1, which is known with an error as large as its own
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(4000):
        value, bias = generator.normal(-1, 0.5), generator.normal(-1, 0.5)
        low, high = Bias(bias, 0.5).widen(Margin.student(0.5)).around(value)
        covered += low <= 0 <= high
    assert 0.95 < covered / 4000 < 0.99


def test_biased_value_has_wider_intervals():
    values, half = torch.tensor([1.0, 2.0, 6.0]), stats.t.ppf(0.975, 2) * math.sqrt(14 / 2 / 3)
    found = Estimate.over(
        values, "log_likelihood", "mine", "estimate", ComputingErrors(draws=Margin(1.0, 1.0), bias=Bias(-0.5))
    )
    assert found.value == 3
    assert found.stderr == pytest.approx(math.sqrt(14 / 2 / 3))
    assert found.interval == pytest.approx((3 - half, 3 + half + 0.5))
    assert found.computing_interval == pytest.approx((2, 4.5))


def test_independent_errors_combine_by_side():
    assert combine(Margin(3, 0), Margin(4, 1)) == (5, 1)
    assert combine(NO_MARGIN) == NO_MARGIN


def test_combined_margins_cover_a_skewed_sum():
    # the variance of 20 normal draws has a chi-squared interval, their mean one of Student
    generator, covered = np.random.default_rng(0), 0
    low, high = stats.chi2.ppf([0.975, 0.025], 19)
    for _ in range(2000):
        x = generator.normal(0, 1, 20)
        mean, variance = x.mean(), x.var(ddof=1)
        of_variance = Margin(variance - 19 * variance / low, 19 * variance / high - variance)
        margin = combine(Margin.student(math.sqrt(variance / 20), 19), of_variance)
        covered += margin.around(mean + variance)[0] <= 1 <= margin.around(mean + variance)[1]
    assert covered / 2000 == pytest.approx(0.95, abs=0.02)


def test_stated_error_holds_shared_errors():
    values = torch.tensor([1.0, 2.0, 6.0])
    alone = Estimate.over(values, "log_likelihood", "ais", "estimate")
    shared = Estimate.over(values, "log_likelihood", "ais", "estimate", ComputingErrors(common=Margin(1.0, 3.0)))
    stderr, half = math.sqrt(14 / 2 / 3), stats.t.ppf(0.975, 2) * math.sqrt(14 / 2 / 3)
    assert (alone.stderr, alone.interval) == (pytest.approx(stderr), pytest.approx((3 - half, 3 + half)))
    assert alone.computing_interval is None
    assert shared.stderr == pytest.approx(math.hypot(stderr, 2 / NORMAL_QUANTILE))
    assert shared.interval == pytest.approx((3 - math.hypot(half, 1), 3 + math.hypot(half, 3)))
    assert shared.computing_interval == pytest.approx((2, 6))


def test_scatter_holds_the_errors_of_draws():
    found = Estimate.over(
        torch.tensor([1.0, 2.0, 6.0]), "log_likelihood", "ais", "estimate", ComputingErrors(draws=Margin(1.0, 2.0))
    )
    assert found.stderr == pytest.approx(math.sqrt(14 / 2 / 3))
    assert found.computing_interval == pytest.approx((2, 5))


def test_one_example_has_computing_error():
    found = Estimate.over(
        torch.tensor([2.0]), "log_likelihood", "ais", "estimate", ComputingErrors(common=Margin(1.0, 1.0))
    )
    assert (found.stderr, found.interval, found.computing_interval) == (None, None, (1.0, 3.0))


def test_stated_error_gives_student_interval():
    found = Estimate("error", "mine", "estimate", 3.0, 0.5, 5)
    assert found.interval == pytest.approx(stats.t.interval(0.95, 4, 3.0, 0.5))


@pytest.mark.parametrize(
    ("num", "understated", "least"), [(2, 1, 0.93), (5, 1, 0.93), (2, math.inf, 0.93), (5, 10, 0.92)]
)
def test_the_interval_of_a_mean_covers(num, understated, least):
    """Draws values with an error of 1, and states it as it is, as zero, or as a tenth of it."""
    generator, held = np.random.default_rng(5), 0
    for _ in range(2000):
        values = generator.normal(0, 1, num).tolist()
        below, above = margin_of_mean(values, [Margin.student(1 / understated)] * num)
        held += -above <= sum(values) / num <= below
    assert least <= held / 2000 <= 0.97


def test_spread_contradicts_small_errors():
    values = [0.0, 1.0, 2.0, 3.0]
    limit = math.sqrt(3 * stats.tvar(values) / stats.chi2.ppf(0.99, 3))
    assert contradicts(values, [Margin.student(0.99 * limit)] * 4)
    assert not contradicts(values, [Margin.student(1.01 * limit)] * 4)
    assert not contradicts([1.0, 1.0], [NO_MARGIN] * 2)
    assert not contradicts([0.0, math.nan], [NO_MARGIN] * 2)


def test_an_interval_ends_at_the_limits():
    assert clip_interval((-2.0, 0.5), (None, 0.0)) == (-2.0, 0.0)
    assert clip_interval((-0.1, 1.2), (0.0, 1.0)) == (0.0, 1.0)
    assert clip_interval((0.1, 0.2), (None, 0.0)) == (0.1, 0.2)  # which shows that the number is wrong


def test_mean_takes_spread_or_stated_error():
    values = [-3.0, -2.0, -2.5, -3.5]
    spread = stats.t(3).ppf(0.975) * np.std(values, ddof=1) / 2
    assert margin_of_mean(values, [NO_MARGIN] * 4) == pytest.approx((spread, spread))
    assert margin_of_mean(values, [Margin(9.0, 9.0)] * 4) == pytest.approx((4.5, 4.5))


def test_a_mean_keeps_a_bias_that_all_share():
    """Averages two evaluations: both may be low by 2 nats, and each has an independent error of 1."""
    assert margin_of_mean([-3.0, -3.0], [Margin(1.0, 3.0)] * 2) == pytest.approx((0.5**0.5, 0.5**0.5 + 2))


def test_infinite_numbers_keep_margins():
    assert margin_of_mean([-3.0, math.nan], [Margin(1.0, 1.0)] * 2) == pytest.approx((0.5**0.5, 0.5**0.5))


def test_margin_recovers_its_interval():
    assert Margin.from_interval(-3.0, [-3.5, -1.0]) == (0.5, 2.0)
    assert Margin.from_interval(-4.0, [-3.5, -1.0]) == (0.0, 3.0)


def test_unknown_errors_give_infinite_ends():
    assert margin_of_mean([-3.0, -2.0], [Margin(math.inf, math.inf)] * 2) == (math.inf, math.inf)
    assert margin_of_mean([-3.0, -3.0], [Margin(1.0, math.inf)] * 2) == (pytest.approx(0.5**0.5), math.inf)
