import math

import pytest
import torch

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.errors import ConfigError
from dgm_run.objectives.base import Progress
from dgm_run.objectives.monte_carlo import MonteCarlo


def model(*overrides):
    torch.manual_seed(0)
    return instantiate(dgm_run.compose("model=density_network", "decoder.hidden_dims=[5]", *overrides).model)


def x():
    return torch.rand(6, 1, 8, 8).round()


def test_loss_is_log_mean_over_draws():
    m, examples = model(), x()
    objective = MonteCarlo(20, resample=False, quasi_random=False)
    state = objective.init_state(m, examples)
    loss, terms = objective(m, examples, Progress(torch.zeros(()), state))
    assert state["z"].shape == (20, 2)
    expected = torch.stack([m.decode(z).log_prob(examples) for z in state["z"]]).exp().mean(0).log().mean()
    torch.testing.assert_close(terms["log_likelihood"], expected)
    torch.testing.assert_close(loss, -expected)
    again, _ = objective(m, examples, Progress(torch.ones(()), state))
    assert again == loss
    fresh, _ = objective(m, examples)  # evaluation is under the prior, not under the points trained on
    assert fresh != loss


def test_gradient_weighs_draws():
    m, examples = model().double(), x().double()
    torch.manual_seed(1)
    loss, _ = MonteCarlo(20, resample=True, quasi_random=False)(m, examples)
    found = torch.autograd.grad(loss, m.decoder.output.bias)[0]
    torch.manual_seed(1)
    z = m.latent_prior().sample((20,))
    log_px = torch.stack([m.decode(row).log_prob(examples) for row in z])
    weights = log_px.detach().softmax(0)
    expected = torch.autograd.grad(-(weights * log_px).sum(0).mean(), m.decoder.output.bias)[0]
    torch.testing.assert_close(found, expected)


def test_sobol_points_are_more_even():
    m, n = model(), 512
    torch.manual_seed(0)
    points = MonteCarlo(n, resample=False, quasi_random=True).init_state(m, x())["z"]
    assert points.shape == (n, 2)
    assert points.mean(0).abs().max() < 0.3 / math.sqrt(n)
    assert (points.var(0) - 1).abs().max() < 0.05
    other = MonteCarlo(n, resample=False, quasi_random=True).init_state(m, x())["z"]
    assert (points != other).any()


def test_sobol_needs_standard_prior():
    with pytest.raises(ConfigError, match="quasi_random=true needs prior=standard"):
        MonteCarlo(5, resample=True, quasi_random=True).init_state(model("prior=mixture"), x())


def test_no_draw_is_refused():
    with pytest.raises(ValueError, match="at least one is needed"):
        MonteCarlo(0, resample=True, quasi_random=False)
