import math

import pytest
import torch

from dgm_run.config.compose import compose, instantiate
from dgm_run.errors import ConfigError
from dgm_run.models.latent.vae import VAE
from dgm_run.objectives.base import Progress
from dgm_run.objectives.elbo import ELBO
from tests.support import exact
from tests.support.replicates import gradient, mean_gradient, mean_terms

pytestmark = pytest.mark.usefixtures("double")


def elbo(**settings) -> ELBO:
    return ELBO(
        **({"num_samples": 1, "beta": 1.0, "warmup_epochs": 0, "warmup": "linear", "free_bits": 0.0} | settings)
    )


def constant_posterior(mean: list[list[float]], log_var: list[float], prior: str, full: bool = False) -> VAE:
    """q has the mean `mean[b]` at x = e_b and the same variances everywhere; p(x | z) ignores z."""
    num_examples, latent_dim = len(mean), len(mean[0])
    model = exact.factor_analysis(latent_dim, max(num_examples, latent_dim), full)
    model.prior = exact.prior_of(prior, latent_dim, num_examples)
    head = model.posterior.head
    with torch.no_grad():
        model.decoder.output.weight.zero_()
        head.weight.zero_()
        head.weight[:latent_dim, :num_examples] = torch.tensor(mean).T
        if not full:
            head.bias.copy_(torch.tensor([0.0] * latent_dim + log_var))
    return model


def kl(mean: float, log_var: float) -> float:
    """KL(N(mean, e^log_var) || N(0, 1))."""
    return 0.5 * (mean**2 + math.exp(log_var) - 1 - log_var)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("num_samples", [1, 3])
def test_posterior_gives_the_likelihood(full, num_samples):
    model = exact.factor_analysis(2, 4, full)
    x = torch.randn(10, 4)
    loss, terms = elbo(num_samples=num_samples)(model, x)
    expected = exact.factor_analysis_log_p(model, x).mean()
    torch.testing.assert_close(terms["elbo"], expected)
    torch.testing.assert_close(-loss, expected)


@pytest.mark.parametrize("num_samples", [1, 4])
@pytest.mark.parametrize("prior", ["standard", "mixture", "vampprior"])
def test_terms_match_quadrature(prior, num_samples):
    model = exact.toy(prior)
    expected = {
        "elbo": exact.toy_expectation(model, 1, lambda log_w: log_w[0]),
        "reconstruction": exact.toy_terms_expectation(model, 1, lambda px, pz, qz: px[0]),
        "kl": exact.toy_terms_expectation(model, 1, lambda px, pz, qz: qz[0] - pz[0]),
    }
    found = mean_terms(elbo(num_samples=num_samples), model, torch.full((1000, 1), exact.TOY_X))
    for name, value in expected.items():
        mean, stderr = found[name]
        assert abs(mean - value.item()) < 5 * stderr, name
        assert stderr < 0.02


def test_more_samples_narrow_the_estimate():
    model, x = exact.toy("standard"), torch.full((500, 1), exact.TOY_X)
    one, many = (mean_terms(elbo(num_samples=n), model, x, blocks=200)["elbo"][1] for n in (1, 16))
    assert 3 < one / many < 5.3  # sqrt(16) = 4, give or take 5 sigma of 200 blocks


@pytest.mark.parametrize("beta", [1.0, 0.3])
@pytest.mark.parametrize("prior", ["standard", "mixture", "vampprior"])
def test_the_mean_gradient_is_exact(prior, beta):
    model = exact.toy(prior)
    loss = exact.toy_terms_expectation(model, 1, lambda px, pz, qz: beta * (qz[0] - pz[0]) - px[0])
    expected = gradient(loss, model)
    found, stderr = mean_gradient(elbo(beta=beta), model)
    assert ((found - expected).abs() <= 5 * stderr + 1e-12).all()
    assert (stderr < 0.05 * expected.abs().max()).all()


@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
def test_beta_spares_the_report(beta):
    loss, terms = elbo(beta=beta, num_samples=3)(exact.toy("mixture"), torch.randn(20, 1))
    torch.testing.assert_close(loss, beta * terms["kl"] - terms["reconstruction"])
    torch.testing.assert_close(terms["elbo"], terms["reconstruction"] - terms["kl"])


@pytest.mark.parametrize(("epoch", "weight"), [(0, 0.1), (1, 0.2), (9, 1.0), (10, 1.0), (11, 1.0), (None, 1.0)])
def test_warmup_spares_the_report(epoch, weight):
    objective, model, x = elbo(beta=0.5, warmup_epochs=10), exact.toy("standard"), torch.randn(20, 1)
    progress = None if epoch is None else Progress(torch.tensor(float(epoch)), {})
    loss, terms = objective(model, x, progress)
    torch.testing.assert_close(loss, 0.5 * weight * terms["kl"] - terms["reconstruction"])
    torch.testing.assert_close(terms["elbo"], terms["reconstruction"] - terms["kl"])
    assert objective.num_warmup_epochs == 10


def test_free_bits_floor_each_dimension():
    model = constant_posterior([[0.0, 1.0], [2.0, 0.2]], [0.0, -0.5], "standard")
    x = torch.eye(2)
    floor = 0.9
    # a floor before the mean over the batch would give (0.9 + 2) / 2 in the first dimension
    first = (kl(0.0, 0.0) + kl(2.0, 0.0)) / 2
    second = (kl(1.0, -0.5) + kl(0.2, -0.5)) / 2
    assert second < floor < first
    loss, terms = elbo(free_bits=floor)(model, x)
    assert (loss + terms["reconstruction"]).item() == pytest.approx(first + floor)
    loss, terms = elbo(free_bits=floor, beta=0.5, warmup_epochs=4)(model, x, Progress(torch.tensor(0.0), {}))
    assert (loss + terms["reconstruction"]).item() == pytest.approx(0.5 * 0.25 * (first + floor))


def test_free_bits_leave_the_report_alone():
    model, x = constant_posterior([[0.0, 1.0], [2.0, 0.2]], [0.0, -0.5], "standard"), torch.eye(2)
    reports = []
    for free_bits in (0.0, 5.0):
        torch.manual_seed(1)
        reports.append(elbo(free_bits=free_bits)(model, x)[1])
    torch.testing.assert_close(*reports)


def test_free_dimension_has_no_gradient():
    model, x = constant_posterior([[0.0, 1.0], [2.0, 0.2]], [0.0, -0.5], "standard"), torch.eye(2)
    loss, _ = elbo(free_bits=0.9)(model, x)
    loss.backward()
    by_row = model.posterior.head.bias.grad  # means of both dimensions, then their log-variances
    assert by_row[[1, 3]].tolist() == [0.0, 0.0]
    assert by_row[0].item() == pytest.approx(1.0)  # d/dm of the mean of m^2 / 2 at 0 and 2


@pytest.mark.parametrize(("prior", "full"), [("mixture", False), ("vampprior", False), ("standard", True)])
def test_joint_kl_floors_whole_vector(prior, full):
    model, x = constant_posterior([[0.0, 1.0], [2.0, 0.2]], [0.0, -0.5], prior, full), torch.eye(2)
    loss, terms = elbo(free_bits=10.0)(model, x)
    assert (loss + terms["reconstruction"]).item() == pytest.approx(20.0)
    loss.backward()
    assert not model.posterior.head.weight.grad.any()

    torch.manual_seed(1)
    loss, terms = elbo(free_bits=1e-9, num_samples=500)(model, x)
    assert (loss + terms["reconstruction"]).item() == pytest.approx(terms["kl"].item())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_samples": 0}, "num_samples = 0: at least one is needed"),
        ({"beta": -0.1}, "must be a finite number, and not negative"),
        ({"warmup_epochs": -1}, "must be a finite number, and not negative"),
        ({"free_bits": -0.5}, "must be a finite number, and not negative"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        elbo(**settings)
    ((name, value),) = settings.items()
    with pytest.raises(ConfigError, match=f"^objective: .*{message}"):
        instantiate(compose(f"objective.{name}={value}").objective)


def test_logistic_warmup_is_slow_at_ends():
    objective = elbo(warmup_epochs=10, warmup="logistic")
    model, x = exact.toy("standard"), torch.randn(20, 1)
    weights = []
    for epoch in (0, 4, 8, 9, 10, 50):
        torch.manual_seed(0)
        loss, terms = objective(model, x, Progress(torch.tensor(float(epoch)), {}))
        weights.append(((loss + terms["reconstruction"]) / terms["kl"]).item())
    by_hand = [1 / (1 + math.exp(-12.5 * (share - 0.5))) for share in (0.1, 0.5, 0.9, 1.0)]
    assert weights == pytest.approx([*by_hand, 1, 1], rel=1e-4)
