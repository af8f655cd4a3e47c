import math

import pytest

from dgm_run.report.verdict import Target, judge


@pytest.mark.parametrize(
    ("value", "stderr", "expected"),
    [
        (-84.5, None, "reproduced"),
        (-84.0, 0.1, "reproduced"),
        (-83.99, 0.1, "better"),
        (-85.0, 0.1, "reproduced"),
        (-85.01, 0.1, "worse"),
        (-83.6, 0.45, "reproduced"),  # 0.9 apart, two standard errors
        (-83.59, 0.45, "better"),
        (-85.41, 0.45, "worse"),
        (-83.6, 0.5, "better"),  # two standard errors are 1 nat
        (-85.4, 0.5, "worse"),
        (-85.0, 7.0, "reproduced"),
        (math.nan, 0.1, "not finite"),
        (-math.inf, None, "not finite"),
    ],
)
def test_nats_are_judged_at_half_a_nat(value, stderr, expected):
    assert judge("log_likelihood", "nats", value, stderr, Target(-84.5, 0.0, "paper")) == expected


@pytest.mark.parametrize(
    ("value", "stderr", "expected"),
    [
        (1.33, 0.001, "better"),
        (1.38, 0.001, "reproduced"),
        (1.42, 0.001, "reproduced"),
        (1.421, 0.001, "worse"),
        (1.44, 0.02, "reproduced"),
        (1.441, 0.02, "worse"),
        (1.44, 0.025, "worse"),  # two standard errors are 0.05 bits
    ],
)
def test_bits_are_judged_at_a_fiftieth(value, stderr, expected):
    assert judge("bits_per_dim", "bits", value, stderr, Target(1.4, 0.0, "program")) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(1.33, "better"), (2.33, "reproduced"), (4.33, "reproduced"), (4.34, "worse")]
)
def test_error_rates_are_judged_at_one_point(value, expected):
    assert judge("error", "%", value, 3.0, Target(3.33, 0.0, "paper")) == expected


@pytest.mark.parametrize(
    ("quantity", "value", "stderr", "expected"),
    [
        ("perplexity", 118.0, 1.0, "reproduced"),
        ("perplexity", 118.1, 1.0, "worse"),
        ("perplexity", 113.9, 1.0, "better"),
        ("modes", 116.0, None, "reproduced"),
        ("modes", 117.0, None, "better"),
    ],
)
def test_other_units_are_judged_by_errors(quantity, value, stderr, expected):
    assert judge(quantity, "", value, stderr, Target(116.0, 0.0, "paper")) == expected


@pytest.mark.parametrize(("value", "expected"), [(2.5, "reproduced"), (2.6, "differs"), (1.4, "differs")])
def test_unranked_quantities_differ(value, expected):
    assert judge("kl", "nats", value, 0.01, Target(2.0, 0.0, "paper")) == expected


@pytest.mark.parametrize(
    ("quantity", "value", "stderr", "expected"),
    [
        ("log_likelihood", -9.0, 0.1, "a bound"),
        ("log_likelihood", -2.599, None, "a bound"),
        ("log_likelihood", -2.4, 0.1, "a bound"),
        ("log_likelihood", -2.39, 0.1, "beyond the bound"),
        ("log_likelihood", -2.598, None, "beyond the bound"),
        ("bits_per_dim", -2.8, 0.1, "beyond the bound"),
        ("bits_per_dim", -2.3, 0.1, "a bound"),
        ("kl", 9.0, 0.1, "a bound"),
    ],
)
def test_a_bound_is_one_until_it_is_passed(quantity, value, stderr, expected):
    assert judge(quantity, "nats", value, stderr, Target(-2.599, 0.0, "bound")) == expected


def test_closed_forms_are_judged_as_papers():
    assert judge("log_likelihood", "nats", -3.1, 0.1, Target(-2.6, 0.0, "closed_form")) == "reproduced"
    assert judge("log_likelihood", "nats", -3.2, 0.1, Target(-2.6, 0.0, "closed_form")) == "worse"


@pytest.mark.parametrize(
    ("stated", "expected"), [(0.0, "worse"), (0.2, "worse"), (0.3, "reproduced"), (0.45, "reproduced"), (0.5, "worse")]
)
def test_stated_errors_of_the_source_count(stated, expected):
    # 0.7 apart; two standard errors of the difference are 0.4, 0.57, 0.72, 0.98 and 1.08
    assert judge("log_likelihood", "nats", -85.2, 0.2, Target(-84.5, stated, "paper")) == expected


@pytest.mark.parametrize(
    ("value", "stderr", "expected"),
    [
        (1322.0, 0.1, "reproduced"),
        (1314.3, 0.1, "reproduced"),  # 0.0199 bits per dimension of 560
        (1314.1, 0.1, "worse"),  # 0.0202
        (1330.8, 0.1, "better"),
        (1305.0, 9.0, "reproduced"),  # two standard errors are 0.046 bits
        (1305.0, 10.0, "worse"),
    ],
)
def test_densities_of_grey_values_are_judged_per_dimension(value, stderr, expected):
    assert judge("log_likelihood", "nats", value, stderr, Target(1322.0, 0.0, "paper"), num_grey=560) == expected
