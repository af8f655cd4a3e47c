import numpy as np
import pytest
import torch

from dgm_run.estimators.likelihood.partition import Exact
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.contrastive_divergence import ContrastiveDivergence
from tests.models.energy.test_rbm import log_joint, make
from tests.support import energy

NOW = Progress(torch.tensor(0.0), {})


def cd(num_steps=1, weight_decay=0.0, grow_every=None):
    return ContrastiveDivergence(Exact(20), weight_decay, None, None, None, 0.0, num_steps, grow_every)


def sweep_matrix(model):
    """p(x' | x) of one sweep of block Gibbs sampling, (2^D, 2^D), from the energy."""
    joint = np.exp(log_joint(model))
    h_given_x, x_given_h = joint / joint.sum(1, keepdims=True), joint / joint.sum(0, keepdims=True)
    return h_given_x @ x_given_h.T


def gradient_matrices(model):
    """dF / d theta of every x, flattened over b, W and c, (2^D, P), from the energy."""
    joint = np.exp(log_joint(model))
    x = energy.visible_states(model).flatten(1).numpy()
    h = joint @ energy.states(3) / joint.sum(1, keepdims=True)
    outer = x[:, :, None] * h[:, None, :]
    return -np.concatenate([x, outer.reshape(len(x), -1), h], axis=1)


def flat(gradients):
    return torch.cat([g.flatten() for g in gradients]).double().numpy()


@pytest.mark.parametrize("num_steps", [1, 3])
def test_mean_update_matches_expectation(num_steps):
    model = make(torch.float32)
    x = energy.visible_states(model)[[3, 11, 11, 40]]
    sweep, gradient = sweep_matrix(model), gradient_matrices(model)
    after = np.linalg.matrix_power(sweep, num_steps)[energy.index_of(x)].mean(0)
    expected = gradient[energy.index_of(x)].mean(0) - after @ gradient

    torch.manual_seed(0)
    repeats = []
    for _ in range(200):
        loss, _ = cd(num_steps)(model, x.repeat(100, 1, 1, 1), NOW)
        repeats.append(flat(torch.autograd.grad(loss, list(model.parameters()))))
    repeats = np.stack(repeats)
    error = repeats.std(0, ddof=1) / np.sqrt(len(repeats))
    assert (np.abs(repeats.mean(0) - expected) < 5 * error + 1e-6).all()
    assert np.abs(expected).max() > 10 * error.max()


def test_gradient_is_free_energy_difference():
    model = make()
    x = energy.visible_states(model)[[3, 11, 40]]
    torch.manual_seed(1)
    loss, terms = cd(2)(model, x, NOW)
    by_hand = torch.autograd.grad(loss, list(model.parameters()))
    torch.manual_seed(1)
    with torch.no_grad():
        v, _ = model.gibbs(x, 2)
    surrogate = model.free_energy(x).mean() - model.free_energy(v).mean()
    torch.testing.assert_close(loss, surrogate)
    for found, expected in zip(by_hand, torch.autograd.grad(surrogate, list(model.parameters())), strict=True):
        torch.testing.assert_close(found, expected)
    assert terms["hidden_activity"].item() == pytest.approx(model.features(x).mean().item())


def test_weight_decay_spares_biases():
    model = make()
    x = energy.visible_states(model)[[3, 11, 40]]
    gradients = []
    for weight_decay in (0.0, 0.5):
        torch.manual_seed(1)
        loss, _ = cd(1, weight_decay)(model, x, NOW)
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    names = [name for name, _ in model.named_parameters()]
    difference = {name: b - a for name, a, b in zip(names, *gradients, strict=True)}
    torch.testing.assert_close(difference.pop("weight"), 0.5 * model.weight.detach())
    assert all(d.abs().max() == 0 for d in difference.values())


@pytest.mark.parametrize(("epoch", "num_steps"), [(0, 2), (4, 2), (5, 3), (14, 4)])
def test_the_number_of_sweeps_grows(epoch, num_steps):
    model = make()
    x = energy.visible_states(model)[[3, 11, 40]]
    torch.manual_seed(1)
    found, _ = cd(2, grow_every=5)(model, x, Progress(torch.tensor(float(epoch)), {}))
    torch.manual_seed(1)
    expected, _ = cd(num_steps)(model, x, NOW)
    assert found == expected


@pytest.mark.parametrize(("settings", "message"), [((0, 0.0), "num_steps = 0"), ((1, -1.0), "weight_decay = -1.0")])
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        cd(*settings)
