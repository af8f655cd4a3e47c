import itertools
import math

import pytest
import torch
from scipy.stats import chi2, multivariate_normal

from dgm_run.config.compose import instantiate
from dgm_run.config.schema import PARTS
from dgm_run.objectives.elbo import ELBO
from dgm_run.objectives.iwae import IWAE
from dgm_run.objectives.renyi import Renyi
from tests.support import cells, exact

pytestmark = pytest.mark.usefixtures("double")

CELLS = list(cells.cells())
COVERING = cells.covering(CELLS)
BOUNDS = {"elbo": ELBO(5, 1.0, 0, "linear", 0.0), "renyi": Renyi(5, 0.5), "iwae": IWAE(5, "standard")}  # ascending
DISCRETE = [cell for cell in CELLS if cells.NUM_LEVELS[cell.data]]


def group_by_cell(some, fast=COVERING):
    """Groups the tests of a cell into one process, which draws its samples once; cells that are not fast are slow."""
    more = {cell: () if cell in fast else (pytest.mark.slow,) for cell in some}
    return [pytest.param(cell, id=str(cell), marks=(pytest.mark.xdist_group(str(cell)), *more[cell])) for cell in some]


@pytest.mark.parametrize(("group", "choice"), [(group, choice) for group in PARTS for choice in cells.choices(group)])
def test_every_choice_has_a_valid_cell(group, choice):
    position = PARTS.index(group)
    usual_first = sorted(CELLS, key=lambda cell: cell not in COVERING)  # they are composed for other tests as well
    assert any(cells.refusal(cell) is None for cell in usual_first if cell.parts[position] == choice)


@pytest.mark.parametrize("cell", group_by_cell(CELLS))
def test_the_mass_of_all_x_is_one(cell):
    p, stderr = cells.estimated_p(cell)
    total_stderr = stderr.square().sum().sqrt().item()
    assert total_stderr < 0.04
    assert abs(p.sum().item() - 1) < 5 * total_stderr


@pytest.mark.parametrize("cell", group_by_cell(DISCRETE))
def test_samples_follow_the_density(cell):
    p, stderr = cells.estimated_p(cell)
    n = 20_000
    x = cells.randomise_model(cell).sample(n)
    frequency = cells.position(x, cell.data).bincount(minlength=len(p)) / n
    statistic = ((frequency - p).square() / (p / n + stderr.square())).sum().item()
    assert chi2.sf(statistic, len(p)) > 1e-6


@pytest.mark.parametrize("cell", group_by_cell(DISCRETE, cells.single_changes(DISCRETE)))
def test_bounds_are_ordered(cell):
    p, stderr = cells.estimated_p(cell)
    model, (x, _) = cells.randomise_model(cell), cells.every_x(cell.data)
    copies, found = x.repeat(5, *[1] * (x.ndim - 1)), {}
    for name, objective in BOUNDS.items():
        torch.manual_seed(2)
        with torch.no_grad():
            values = torch.stack([objective(model, copies)[1][name] for _ in range(20)])
        found[name] = values.mean().item(), values.std().item() / math.sqrt(20)
    found["log_p"] = p.log().mean().item(), (stderr / p).mean().item()
    for (low, low_error), (high, high_error) in itertools.pairwise(found.values()):
        assert low < high + 4 * math.hypot(low_error, high_error)
    assert found["elbo"][0] < found["log_p"][0]  # a q that is wider than the posterior leaves room


@pytest.mark.parametrize("cell", group_by_cell(CELLS))
def test_every_parameter_gets_a_gradient(cell):
    if cells.refusal(cell):
        pytest.skip(cells.refusal(cell))
    if "pixelcnn" in str(cell) and cell.data != "binary":
        pytest.skip("an image of a single row has no rows above")
    if cell.model == "dlgm" and "autoregressive" in cell.parts:
        pytest.skip("a single dimension has none before it")
    model = instantiate(cells.config(cell).model)  # at its start, where no clamp is reached
    (model.log_weights(model.sample(50), 2).sum() + model.auxiliary_loss()).backward()
    assert [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize(("latent_dim", "num_pixels"), [(1, 3), (2, 5), (3, 4)])
def test_weights_at_posterior_are_exact(full, latent_dim, num_pixels):
    model = exact.factor_analysis(latent_dim, num_pixels, full)
    x = 2 * torch.randn(20, num_pixels)
    log_w = model.log_weights(x, 30)  # (S, B)
    torch.testing.assert_close(log_w, exact.factor_analysis_log_p(model, x).expand_as(log_w), rtol=0, atol=1e-9)


def test_samples_have_the_moments():
    model = exact.factor_analysis(2, 3, full=True)
    n = 200_000
    mean, covariance = exact.factor_analysis_moments(model)
    x = model.sample(n)
    deviation = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), (x - mean).T, upper=False).T
    assert deviation.mean(0).abs().max().item() < 5 / math.sqrt(n)
    assert (deviation.T @ deviation / n - torch.eye(3)).abs().max().item() < 5 * math.sqrt(2 / n)


@pytest.mark.parametrize("prior", ["standard", "mixture", "vampprior"])
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_mean_weight_matches_quadrature(prior, latent_dim):
    model = exact.bernoulli_vae(latent_dim, prior)
    x = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 0]])
    with torch.no_grad():
        w = model.log_weights(x, 50_000).exp()  # (S, B)
    stderr = w.std(0) / math.sqrt(len(w))
    expected = torch.from_numpy(exact.bernoulli_log_p(model, x)).exp()
    assert (stderr / expected).max().item() < 0.02
    assert ((w.mean(0) - expected).abs() < 5 * stderr).all()


def test_oracle_matches_scipy():
    model = exact.factor_analysis(1, 2, full=True)
    x = torch.tensor([[0.3, -1.2]])
    mean, covariance = exact.factor_analysis_moments(model)
    expected = multivariate_normal(mean.numpy(), covariance.numpy()).logpdf(x[0].numpy())
    assert exact.factor_analysis_log_p(model, x).item() == pytest.approx(expected)
    z = torch.linspace(-12, 12, 4001)
    weight, bias = model.decoder.output.weight.detach(), model.decoder.output.bias.detach()
    log_px = torch.distributions.Normal(z[:, None] * weight.T + bias, exact.NOISE).log_prob(x).sum(-1)
    integral = torch.trapezoid((log_px - 0.5 * z**2).exp() / math.sqrt(2 * math.pi), z)
    assert integral.log().item() == pytest.approx(expected)


def test_prior_uses_own_posterior():
    model = exact.bernoulli_vae(2, "vampprior")
    p = model.latent_prior()
    q = model.infer(model.prior.pseudo_inputs)
    torch.testing.assert_close(p.components.mean, q.mean)
    z = torch.randn(5, 2)
    expected = torch.distributions.MultivariateNormal(q.loc, scale_tril=q.scale_tril).log_prob(z[:, None]).exp()
    torch.testing.assert_close(p.log_prob(z), expected.mean(-1).log())
