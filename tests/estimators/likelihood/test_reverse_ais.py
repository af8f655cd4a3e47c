import itertools

import numpy as np
import pytest
import torch

from dgm_run.estimators.likelihood.reverse_ais import RAISE
from dgm_run.estimators.likelihood.temperatures import list_temperatures
from tests.models.energy import test_boltzmann, test_rbm, test_subspace_rbm
from tests.support import energy

MODELS = {"rbm": test_rbm.make, "subspace_rbm": test_subspace_rbm.make, "boltzmann": test_boltzmann.make}


def sweep_matrix(model, beta):
    """p(x' | x) of a sweep of a restricted machine at beta, (2^D, 2^D), from its joint density on the path."""
    w = energy.weights_of(model)
    x, h = energy.states(6), energy.states(3)
    bias = (1 - beta) * w["base_logits"] + beta * w["visible_bias"]
    joint = np.exp(beta * (x @ w["weight"] @ h.T + h @ w["hidden_bias"]) + (x @ bias)[:, None])
    return (joint / joint.sum(1, keepdims=True)) @ (joint / joint.sum(0, keepdims=True)).T


def test_mean_weight_is_annealed_probability():
    model = test_rbm.make()
    betas = list_temperatures("linear", 3)
    annealed = energy.probabilities(model, 0.0).numpy()
    for _, beta in itertools.pairwise(betas):
        annealed = annealed @ sweep_matrix(model, beta)
    assert np.abs(annealed - energy.probabilities(model).numpy()).max() > 1e-3  # it is not the model itself
    torch.manual_seed(0)
    for row in (3, 11, 40):
        x = energy.visible_states(model)[[row]]
        raise_ = RAISE(1, 1, 3, "linear")
        w = raise_(model, x.expand(100_000, *x.shape[1:])).exp()
        assert abs(w.mean() - annealed[row]) < 5 * w.std() / 100_000**0.5


@pytest.mark.parametrize("name", MODELS)
def test_many_temperatures_give_exact_log_p(name):
    model = MODELS[name]()
    x = energy.visible_states(model)
    torch.manual_seed(0)
    found = RAISE(len(x), 200, 100, "linear")(model, x)
    torch.testing.assert_close(found, energy.log_f(model).log_softmax(0), atol=0.15, rtol=0)


def test_it_errs_on_the_low_side():
    model = test_rbm.make()
    p = energy.probabilities(model)
    torch.manual_seed(0)
    low = torch.stack([RAISE(64, 1, 3, "linear")(model, energy.visible_states(model)) for _ in range(300)]).mean(0)
    assert p @ low < p @ p.log() - 0.01


def test_target_without_limit_is_refused():
    with pytest.raises(ValueError, match="target_gap = 0.1 needs max_num_temperatures"):
        RAISE(1, 1, 1, "linear", 0.1, None)


def test_nonpositive_numbers_are_refused():
    with pytest.raises(ValueError, match="must be positive"):
        RAISE(0, 1, 1, "linear")
