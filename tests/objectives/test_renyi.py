import math

import pytest
import torch

from dgm_run.config.compose import compose, instantiate
from dgm_run.errors import ConfigError
from dgm_run.objectives.elbo import ELBO
from dgm_run.objectives.iwae import IWAE
from dgm_run.objectives.renyi import Renyi, renyi_bound
from tests.support import exact
from tests.support.replicates import gradient, mean_gradient, mean_terms

pytestmark = pytest.mark.usefixtures("double")

PRIORS = ["standard", "mixture", "vampprior"]
ALPHAS = [-math.inf, -50.0, -2.0, -0.5, 0.0, 0.5, 0.999, 1.001, 2.0, 50.0]


def power_mean(log_w, alpha):
    """log of the power mean of the weights with exponent 1 - alpha, in linear space."""
    w = log_w.exp()
    return w.amax(0).log() if alpha == -math.inf else w.pow(1 - alpha).mean(0).pow(1 / (1 - alpha)).log()


@pytest.mark.parametrize("alpha", [alpha for alpha in ALPHAS if abs(alpha) != 50])
def test_it_is_the_log_of_a_power_mean(alpha):
    log_w = torch.randn(6, 10)
    torch.testing.assert_close(renyi_bound(log_w, alpha), power_mean(log_w, alpha))


def test_bound_falls_with_alpha():
    log_w = 3 * torch.randn(6, 100)
    bounds = torch.stack([renyi_bound(log_w, alpha) for alpha in ALPHAS])  # (A, B)
    assert (bounds.diff(dim=0) < 0).all()
    torch.testing.assert_close(bounds[0], log_w.amax(0))
    assert ((log_w.amin(0) <= bounds[-1]) & (bounds[-1] <= log_w.mean(0))).all()


def test_alpha_near_one_is_elbo():
    log_w = torch.randn(6, 10)
    for alpha in (1 - 1e-6, 1 + 1e-6):
        torch.testing.assert_close(renyi_bound(log_w, alpha), log_w.mean(0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_bound_survives_overflow(alpha):
    log_w = torch.randn(6, 10)
    torch.testing.assert_close(renyi_bound(log_w - 5000, alpha), renyi_bound(log_w, alpha) - 5000)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_one_sample_is_elbo(alpha):
    model, x = exact.toy("vampprior"), torch.randn(20, 1)
    torch.manual_seed(1)
    expected_loss, expected = ELBO(num_samples=1, beta=1.0, warmup_epochs=0, warmup="linear", free_bits=0.0)(model, x)
    torch.manual_seed(1)
    loss, terms = Renyi(num_samples=1, alpha=alpha)(model, x)
    torch.testing.assert_close(loss, expected_loss)
    torch.testing.assert_close(gradient(loss, model), gradient(expected_loss, model))
    torch.testing.assert_close(terms["renyi"], expected["elbo"])
    for name in ("elbo", "reconstruction", "kl"):
        torch.testing.assert_close(terms[name], expected[name].detach())


def test_alpha_zero_is_iwae():
    model, x = exact.toy("mixture"), torch.randn(20, 1)
    torch.manual_seed(1)
    expected_loss, expected = IWAE(num_samples=4, gradient="standard")(model, x)
    torch.manual_seed(1)
    loss, terms = Renyi(num_samples=4, alpha=0.0)(model, x)
    torch.testing.assert_close(loss, expected_loss)
    torch.testing.assert_close(gradient(loss, model), gradient(expected_loss, model))
    torch.testing.assert_close(terms["renyi"].detach(), expected["iwae"])
    torch.testing.assert_close({name: terms[name] for name in expected}, expected)


@pytest.mark.parametrize("alpha", [-math.inf, -1.0, 0.5, 2.0])
@pytest.mark.parametrize("prior", PRIORS)
def test_two_samples_match_quadrature(prior, alpha):
    model = exact.toy(prior)
    with torch.no_grad():
        expected = {
            "renyi": exact.toy_expectation(model, 2, lambda log_w: power_mean(log_w, alpha), points=801),
            "iwae": exact.toy_expectation(model, 2, lambda log_w: power_mean(log_w, 0.0)),
            "elbo": exact.toy_expectation(model, 1, lambda log_w: log_w[0]),
        }
    found = mean_terms(Renyi(num_samples=2, alpha=alpha), model, torch.full((1000, 1), exact.TOY_X))
    for name, value in expected.items():
        mean, stderr = found[name]
        assert abs(mean - value.item()) < 5 * stderr, name
        assert stderr < 0.02


@pytest.mark.parametrize("alpha", [-1.0, 0.5, 2.0])
@pytest.mark.parametrize("prior", ["standard", "vampprior"])
def test_the_mean_gradient_is_exact(prior, alpha):
    model = exact.toy(prior)
    expected = gradient(-exact.toy_expectation(model, 2, lambda log_w: power_mean(log_w, alpha), points=161), model)
    found, stderr = mean_gradient(Renyi(num_samples=2, alpha=alpha), model)
    assert ((found - expected).abs() <= 5 * stderr + 1e-12).all()
    assert (stderr < 0.05 * expected.abs().max()).all()


def test_vr_max_gradient_is_largest_weight():
    log_w = torch.tensor([[0.0, 3.0], [2.0, -1.0]], requires_grad=True)
    renyi_bound(log_w, -math.inf).sum().backward()
    assert log_w.grad.tolist() == [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize("alpha", [-math.inf, -3.0])
def test_negative_alpha_exceeds_likelihood(alpha):
    model = exact.toy("standard")
    log_p = exact.toy_log_p(model)
    objective = Renyi(num_samples=50, alpha=alpha)
    found = mean_terms(objective, model, torch.full((1000, 1), exact.TOY_X))
    assert found["renyi"][0] > log_p + 20 * found["renyi"][1]
    monitored, stderr = found[objective.monitor]
    assert monitored < log_p + 5 * stderr


@pytest.mark.parametrize("alpha", ALPHAS)
def test_posterior_gives_the_likelihood(alpha):
    model, x = exact.factor_analysis(2, 4, full=True), torch.randn(10, 4)
    _, terms = Renyi(num_samples=5, alpha=alpha)(model, x)
    torch.testing.assert_close(terms["renyi"], exact.factor_analysis_log_p(model, x).mean())


@pytest.mark.parametrize(
    ("num_samples", "alpha", "message"),
    [
        (5, 1, "alpha = 1 is the ELBO: use objective=elbo"),
        (5, 1.0, "alpha = 1 is the ELBO: use objective=elbo"),
        (5, math.nan, "alpha = nan: set a finite number other than 1, or -inf for VR-max"),
        (5, math.inf, "alpha = inf: set a finite number other than 1, or -inf for VR-max"),
        (0, 0.5, "num_samples = 0: at least one is needed"),
    ],
)
def test_invalid_settings_are_refused(num_samples, alpha, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Renyi(num_samples=num_samples, alpha=alpha)
    node = compose("objective=renyi", f"objective.alpha={alpha}", f"objective.num_samples={num_samples}").objective
    with pytest.raises(ConfigError, match=f"^objective: {message}$"):
        instantiate(node)


def test_command_line_takes_vr_max():
    assert instantiate(compose("objective=renyi", "objective.alpha=-inf").objective).alpha == -math.inf
