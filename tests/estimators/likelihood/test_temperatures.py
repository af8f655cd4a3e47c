import itertools
import math

import numpy as np
import pytest
import torch

from dgm_run.estimators.likelihood.temperatures import (
    PUBLISHED,
    PUBLISHED_SHARE,
    _run_pilot,
    choose_temperatures,
    list_temperatures,
)
from dgm_run.models.energy.rbm import RBM
from tests.models.energy.test_rbm import make


@pytest.mark.parametrize("schedule", ["linear", "sigmoid", "salakhutdinov_murray"])
@pytest.mark.parametrize("num", [1, 10, 145, 1000])
def test_temperatures_rise_from_zero_to_one(schedule, num):
    betas = list_temperatures(schedule, num)
    assert (betas[0], betas[-1]) == (0.0, 1.0)
    assert all(low < high for low, high in itertools.pairwise(betas))
    spare = 2 if schedule == "salakhutdinov_murray" else 0  # each of its three pieces has a step at least
    assert num <= len(betas) - 1 <= num + spare


def test_published_schedule_has_its_steps():
    betas = np.array(list_temperatures("salakhutdinov_murray", 14_500))
    published = np.r_[0:0.5:501j, 0.5:0.9:4001j, 0.9:1:10_001j]  # beta of their demo
    np.testing.assert_allclose(betas, np.unique(published.round(12)), atol=1e-9)


def test_sigmoid_is_dense_at_both_ends():
    steps = np.diff(list_temperatures("sigmoid", 100))
    np.testing.assert_allclose(steps, steps[::-1], atol=1e-12)
    assert steps[0] < 0.1 * steps[50]


@pytest.mark.parametrize("num", [1, 3, 10, 100])
def test_chosen_temperatures_rise(num):
    torch.manual_seed(0)
    seen = []
    betas = choose_temperatures("adaptive", num, make(), lambda done, total: seen.append((done, total)))
    assert (betas[0], betas[-1]) == (0.0, 1.0)
    assert all(low < high for low, high in itertools.pairwise(betas))
    num_pilot = max(2, round(num / 20))
    assert len(betas) - 1 == max(1, num - 2 * num_pilot)
    assert seen == [(num_pilot, num), (2 * num_pilot, num)]


def test_fixed_schedules_need_no_pilot():
    assert choose_temperatures("sigmoid", 20, make()) == list_temperatures("sigmoid", 20)


def test_base_model_has_published_schedule():
    model = RBM((2, 3), 4, init_scale=0.0, visible_bias="zero").double()
    betas = choose_temperatures("adaptive", 1000, model)
    ends = [0, *(high for _, high, _ in PUBLISHED)]
    shares = np.histogram(betas[1:], np.array(ends) + 1e-9)[0] / 900
    np.testing.assert_allclose(shares, [count / 14_500 for *_, count in PUBLISHED], atol=0.01)


def test_pilot_evens_out_the_variance():
    """Compares the pilot with a closed form: large biases move the means near beta = 0, so the variance lies there."""
    model = RBM((40,), 1, init_scale=0.0, visible_bias="zero").double()
    with torch.no_grad():
        model.visible_bias.fill_(20.0)  # variance of d log f / d beta: 40 x 400 p (1 - p), p = sigmoid(20 beta)
    torch.manual_seed(0)
    betas = np.array(choose_temperatures("adaptive", 2000, model))
    edges = np.linspace(0, 0.4, 9)
    p = 1 / (1 + np.exp(-20 * np.linspace(0, 1, 100_001)))
    thermodynamic_length = np.interp(edges, np.linspace(0, 1, 100_001), np.cumsum(np.sqrt(p * (1 - p))))
    share = np.diff(thermodynamic_length) / np.sqrt(p * (1 - p)).sum()
    published = np.diff(edges) * 500 / 14_500 / 0.5
    found = np.histogram(betas[1:], edges)[0] / (len(betas) - 1)
    mixed = (1 - PUBLISHED_SHARE) * share + PUBLISHED_SHARE * published
    np.testing.assert_allclose(found, mixed, atol=0.01)


def test_increments_sum_to_the_log_weights():
    model = make()
    betas = list_temperatures("linear", 200)
    torch.manual_seed(0)
    log_w = _run_pilot(model, betas).sum(0)
    found = model.log_base_partition() + log_w.logsumexp(0) - math.log(len(log_w))
    assert found.item() == pytest.approx(model.log_partition().item(), abs=0.1)
