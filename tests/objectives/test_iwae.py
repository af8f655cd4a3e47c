import math

import pytest
import torch

from dgm_run.models.base import log_mean_exp
from dgm_run.objectives.elbo import ELBO
from dgm_run.objectives.iwae import IWAE
from tests.support import exact
from tests.support.replicates import gradient, mean_gradient, mean_terms

pytestmark = pytest.mark.usefixtures("double")

PRIORS = ["standard", "mixture", "vampprior"]
GRADIENTS = ["standard", "dreg", "stl"]


def exact_bound(model, num_samples):
    return exact.toy_expectation(model, num_samples, lambda log_w: log_w.exp().mean(0).log())


def test_log_mean_exp_survives_overflow():
    log_w = torch.tensor([[1000.0, -2000.0], [1000.0 + math.log(3), -2000.0]])
    torch.testing.assert_close(log_mean_exp(log_w), torch.tensor([1000 + math.log(2), -2000.0]))


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("num_samples", [1, 2, 3])
@pytest.mark.parametrize("prior", PRIORS)
def test_its_mean_is_the_bound_by_quadrature(prior, num_samples, name):
    model = exact.toy(prior)
    objective = IWAE(num_samples=num_samples, gradient=name)
    mean, stderr = mean_terms(objective, model, torch.full((1000, 1), exact.TOY_X))["iwae"]
    assert abs(mean - exact_bound(model, num_samples).item()) < 5 * stderr
    assert stderr < 0.01


@pytest.mark.parametrize("num_samples", [1, 3])
@pytest.mark.parametrize("name", ["standard", "dreg"])
@pytest.mark.parametrize("prior", PRIORS)
def test_the_mean_gradient_is_exact(prior, name, num_samples):
    model = exact.toy(prior)
    expected = gradient(-exact_bound(model, num_samples), model)
    found, stderr = mean_gradient(IWAE(num_samples=num_samples, gradient=name), model)
    assert ((found - expected).abs() <= 5 * stderr + 1e-12).all()
    assert (stderr < 0.05 * expected.abs().max()).all()


@pytest.mark.parametrize("prior", PRIORS)
def test_scoreless_gradient_bias(prior):
    model = exact.toy(prior)
    for num_samples, biased in ((1, False), (3, True)):
        expected = gradient(-exact_bound(model, num_samples), model)
        found, stderr = mean_gradient(IWAE(num_samples=num_samples, gradient="stl"), model)
        deviation = (found - expected).abs() / (stderr + 1e-12)
        assert (deviation.max() > 15) if biased else (deviation.max() < 5)


@pytest.mark.parametrize("name", ["stl", "dreg"])
def test_encoder_rests_at_posterior(name):
    model, x = exact.factor_analysis(2, 4, full=True), torch.randn(10, 4)
    noise = {}
    for gradient_name in (name, "standard"):
        model.zero_grad()
        IWAE(num_samples=3, gradient=gradient_name)(model, x)[0].backward()
        noise[gradient_name] = model.posterior.head.weight.grad.abs().max().item()
    assert noise[name] < 1e-9
    assert noise["standard"] > 1e-3


def test_report_ignores_gradient_estimator():
    model, x = exact.toy("vampprior"), torch.randn(30, 1)
    reports = []
    for name in GRADIENTS:
        torch.manual_seed(1)
        reports.append(IWAE(num_samples=4, gradient=name)(model, x)[1])
    torch.testing.assert_close(reports[0], reports[1])
    torch.testing.assert_close(reports[0], reports[2])


@pytest.mark.parametrize("name", GRADIENTS)
def test_with_one_sample_it_is_the_elbo(name):
    model, x = exact.toy("mixture"), torch.randn(30, 1)
    torch.manual_seed(1)
    expected_loss, expected = ELBO(num_samples=1, beta=1.0, warmup_epochs=0, warmup="linear", free_bits=0.0)(model, x)
    torch.manual_seed(1)
    loss, terms = IWAE(num_samples=1, gradient=name)(model, x)
    torch.testing.assert_close(loss, expected_loss)
    torch.testing.assert_close(terms["iwae"], expected["elbo"])
    for quantity, value in expected.items():
        torch.testing.assert_close(terms[quantity], value.detach())


@pytest.mark.parametrize("name", GRADIENTS)
def test_evaluation_needs_no_gradient(name):
    model, x = exact.toy("vampprior"), torch.randn(30, 1)
    with torch.no_grad():
        loss, terms = IWAE(num_samples=4, gradient=name)(model, x)
    assert not loss.requires_grad
    assert all(value.isfinite() for value in terms.values())


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_bounds_rise_with_samples(latent_dim, prior):
    model = exact.bernoulli_vae(latent_dim, prior)
    x = torch.tensor([[1.0, 0, 1]])
    log_p = exact.bernoulli_log_p(model, x).item()
    batch = x.expand(1000, 3)
    bounds = [mean_terms(IWAE(num_samples=k, gradient="standard"), model, batch)["iwae"] for k in (1, 2, 4, 16)]
    bounds.insert(0, mean_terms(IWAE(num_samples=4, gradient="standard"), model, batch)["elbo"])
    for (lower, lower_stderr), (upper, upper_stderr) in zip(bounds, [*bounds[1:], (log_p, 0.0)], strict=True):
        assert lower < upper + 5 * math.hypot(lower_stderr, upper_stderr)
    assert bounds[0][0] < log_p - 5 * bounds[0][1]  # the test has power
    assert bounds[-1][0] > bounds[1][0] + 5 * math.hypot(bounds[-1][1], bounds[1][1])


@pytest.mark.parametrize("full", [True, False])
def test_posterior_gives_the_likelihood(full):
    model, x = exact.factor_analysis(2, 4, full), torch.randn(10, 4)
    loss, terms = IWAE(num_samples=3, gradient="standard")(model, x)
    expected = exact.factor_analysis_log_p(model, x).mean()
    torch.testing.assert_close(terms["iwae"], expected)
    torch.testing.assert_close(-loss, expected)


def test_no_sample_is_refused():
    with pytest.raises(ValueError, match="num_samples = 0: at least one is needed"):
        IWAE(num_samples=0, gradient="standard")
