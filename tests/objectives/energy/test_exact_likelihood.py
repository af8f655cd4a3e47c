import pytest
import torch

from dgm_run.config.compose import compose
from dgm_run.config.validate import validate
from dgm_run.errors import ConfigError
from dgm_run.estimators.likelihood.partition import Exact
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.exact_likelihood import ExactLikelihood
from tests.models.energy.test_rbm import make
from tests.support import energy


def gradients(model, x, centering_rate=None, state=None):
    objective = ExactLikelihood(Exact(20), 0.0, None, centering_rate, None, 0.0)
    state = state or objective.init_state(model, x)
    loss, _ = objective(model, x, Progress(torch.tensor(0.0), state))
    return loss, torch.autograd.grad(loss, list(model.parameters())), state


def test_loss_and_gradient_are_exact():
    model = make()
    x = energy.visible_states(model)[[3, 11, 11, 40]]
    loss, found, _ = gradients(model, x)
    every = energy.visible_states(model)
    log_p = model.log_unnormalized(every, model.preactivations(every)).log_softmax(0)[[3, 11, 11, 40]]
    torch.testing.assert_close(loss, -log_p.mean())
    for value, expected in zip(found, torch.autograd.grad(-log_p.mean(), list(model.parameters())), strict=True):
        torch.testing.assert_close(value, expected)


def step(model, x, centering_rate):
    _, gradient, state = gradients(model, x, centering_rate)
    assert set(state) == (set() if centering_rate is None else {"state_mean", "hidden_mean"})
    with torch.no_grad():
        for parameter, g in zip(model.parameters(), gradient, strict=True):
            parameter.sub_(g, alpha=0.3)


def flip_pixels(model):
    """The model whose x is one minus the other's x."""
    other = make()
    with torch.no_grad():
        other.weight.copy_(-model.weight)
        other.visible_bias.copy_(-model.visible_bias)
        other.hidden_bias.copy_(model.hidden_bias + model.weight.sum(0))
    return other


@pytest.mark.parametrize(("centering_rate", "invariant"), [(0.01, True), (None, False)])
def test_centering_is_flip_invariant(centering_rate, invariant):
    model, x = make(), energy.visible_states(make())[[3, 11, 11, 40]]
    other = flip_pixels(model)
    before = energy.probabilities(model)
    torch.testing.assert_close(energy.probabilities(other).flip(0), before)
    step(model, x, centering_rate)
    step(other, 1 - x, centering_rate)
    after, after_flipped = energy.probabilities(model), energy.probabilities(other).flip(0)
    assert (after - before).abs().max() > 1e-3
    assert torch.allclose(after, after_flipped, atol=1e-10) == invariant


def test_offsets_follow_batch_means():
    model, x = make(), energy.visible_states(make())[[3, 11, 11, 40]]
    objective = ExactLikelihood(Exact(20), 0.0, None, 0.25, None, 0.0)
    state = objective.init_state(model, energy.visible_states(model)[:8])
    visible, hidden = state["state_mean"].clone(), state["hidden_mean"].clone()
    objective(model, x, Progress(torch.tensor(0.0), state))
    torch.testing.assert_close(state["state_mean"], 0.75 * visible + 0.25 * x.flatten(1).mean(0))
    torch.testing.assert_close(state["hidden_mean"], (0.75 * hidden + 0.25 * model.features(x).mean(0)).detach())


def test_real_valued_pixels_are_refused():
    cfg = compose("model=gaussian_rbm", "objective=exact")
    with pytest.raises(ConfigError, match="needs model to be of kind BinaryEnergyModel; GaussianRBM is not"):
        validate(cfg)


def test_too_many_pixels_are_refused():
    with pytest.raises(ConfigError, match=r"2\^64 states.*objective=pcd"):
        ExactLikelihood(Exact(20), 0.0, None, None, None, 0.0).init_state(None, torch.zeros(2, 1, 8, 8))


@pytest.mark.parametrize("rate", [0.0, 1.5])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match="centering_rate"):
        ExactLikelihood(Exact(20), 0.0, None, rate, None, 0.0)
