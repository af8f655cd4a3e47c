import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import FactorAnalysis as Peer
from torch.distributions import MultivariateNormal

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.distributions.linear_gaussian import LinearGaussian
from dgm_run.models.linear.factor_analysis import FactorAnalysis, Moments, mean_log_prob
from dgm_run.models.linear.ppca import PPCA

pytestmark = pytest.mark.usefixtures("double")


def data(n=500, dim=8):
    torch.manual_seed(0)
    scale = torch.rand(dim) + 0.2
    return torch.randn(n, 3) @ torch.randn(3, dim) + torch.randn(dim) + scale * torch.randn(n, dim)


def model(latent_dim=3, dim=8, min_scale=1e-3):
    torch.manual_seed(1)
    made = FactorAnalysis((1, 2, dim // 2), latent_dim, min_scale, 0.0).double()
    made.initialize(data(dim=dim).view(-1, 1, 2, dim // 2))
    return made


def test_density_is_dense_gaussian():
    m, x = model(), data(20).view(-1, 1, 2, 4)
    p = m.density
    dense = MultivariateNormal(p.bias, p.weight @ p.weight.T + torch.diag(p.log_var.exp()))
    log_p = m.log_prob(x)
    torch.testing.assert_close(log_p, dense.log_prob(x.flatten(1)))
    log_w = m.log_weights(x, 5)  # the posterior is exact: every draw weighs the same
    torch.testing.assert_close(log_w, log_p.expand(5, -1), rtol=0, atol=1e-9)


def test_samples_have_the_moments():
    m, n = model(), 100_000
    p, x = m.density, m.sample(n).flatten(1)
    covariance = p.weight @ p.weight.T + torch.diag(p.log_var.exp())
    assert (x.mean(0) - p.bias).abs().max() < 5 * covariance.diagonal().max().sqrt() / math.sqrt(n)
    error = (torch.cov(x.T) - covariance).abs().max()
    assert error < 6 * covariance.diagonal().max() / math.sqrt(n)


def test_moments_are_those_of_all_batches():
    x = data(100)
    found = Moments.from_batches(x.view(-1, 1, 2, 4).split(33))
    torch.testing.assert_close(found.mean, x.mean(0))
    torch.testing.assert_close(found.covariance, torch.cov(x.T, correction=0))


def test_moment_likelihood_matches_examples():
    m, x = model(), data()
    torch.testing.assert_close(mean_log_prob(m.density, Moments.from_batches([x])), m.log_prob(x).mean())


def test_em_ascends_to_library_optimum():
    m, x = model(), data()
    moments = Moments.from_batches([x])
    seen = torch.stack([m.em_step(moments) for _ in range(3000)])
    assert seen.diff().min() > -1e-10
    peer = Peer(3, tol=1e-12, max_iter=20_000, svd_method="lapack").fit(x.numpy())
    assert m.log_prob(x).mean().item() == pytest.approx(peer.score(x.numpy()), abs=1e-4)
    p = m.density
    np.testing.assert_allclose(p.log_var.exp().detach(), peer.noise_variance_, rtol=0.02)


def test_gradients_reach_em_optimum():
    by_em, by_gradients, x = model(), model(), data()
    moments = Moments.from_batches([x])
    for _ in range(1000):
        by_em.em_step(moments)
    optimizer = torch.optim.Adam(by_gradients.parameters(), lr=0.05)
    for _ in range(500):
        optimizer.zero_grad()
        (-by_gradients.log_prob(x).mean()).backward()
        optimizer.step()
    assert by_gradients.log_prob(x).mean().item() == pytest.approx(by_em.log_prob(x).mean().item(), abs=0.001)


def test_em_fixed_point_has_no_gradient():
    m, x = model(), data()
    moments = Moments.from_batches([x])
    for _ in range(1000):
        m.em_step(moments)
    m.log_prob(x).mean().backward()
    assert max(parameter.grad.abs().max() for parameter in m.parameters()) < 1e-5


def test_constant_pixel_keeps_floor():
    m, x = model(min_scale=0.05), data()
    x[:, 2] = 0.5
    moments = Moments.from_batches([x])
    seen = torch.stack([m.em_step(moments) for _ in range(300)])
    assert seen.diff().min() > -1e-10
    assert m.density.variance[2].sqrt().item() == pytest.approx(0.05, rel=0.01)


def test_bias_and_scale_start_at_the_data():
    m, x = model(), data()
    p = m.density
    torch.testing.assert_close(p.bias, x.mean(0))
    assert (p.variance / x.var(0) > 0.5).all()
    assert isinstance(p, LinearGaussian)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.latent_dim=64"], "latent_dim = 64 must be positive and less than 64, the dimensions of x"),
        (["model.relative_min_scale=0"], "the density has no upper bound; set one of them"),
        (["model.min_scale=-1"], "min_scale = -1 must not be negative"),
        (["model.relative_min_scale=1"], "relative_min_scale = 1 must lie between 0 and 1"),
    ],
)
def test_invalid_settings_are_refused(overrides, message):
    cfg = dgm_run.compose("model=factor_analysis", *overrides)
    with pytest.raises(dgm_run.errors.ConfigError, match=message):
        instantiate(cfg.model)


def fit(kind, x, latent_dim=2, num_steps=100, relative_min_scale=1e-3, min_scale=0.0):
    """A model after steps from one seed, and the likelihood before each of them."""
    torch.manual_seed(1)
    made = kind(x.shape[1:], latent_dim, min_scale, relative_min_scale)
    made.initialize(x)
    moments = Moments.from_batches(x.split(70))
    return made, torch.stack([made.em_step(moments) for _ in range(num_steps)])


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
@pytest.mark.parametrize("std", [1e-8, 1e-4, 1e4, 1e8])
def test_units_do_not_matter(std, offset):
    unit = data(dim=6) * std + offset * std
    centred = (unit - offset * std) / std  # with the rounding of the data
    made, reference = fit(FactorAnalysis, unit)[0], fit(FactorAnalysis, centred)[0]
    expected = reference.log_prob(centred) - 6 * math.log(std)
    torch.testing.assert_close(made.log_prob(unit), expected, rtol=1e-6, atol=0)
    assert made.likelihood_warning is None


def test_scales_of_columns_do_not_matter():
    x, scale = data(dim=6), torch.tensor([0.01, 0.1, 1.0, 10.0, 100.0, 1000.0])
    made, reference = fit(FactorAnalysis, x * scale)[0], fit(FactorAnalysis, x)[0]
    expected = reference.log_prob(x) - scale.log().sum()
    torch.testing.assert_close(made.log_prob(x * scale), expected, rtol=1e-6, atol=0)


def test_moments_do_not_cancel_far_from_zero():
    x = data(100)
    x[:, 3] = 0.1
    found = Moments.from_batches((x + 1e8).split(33))
    shifted = (x + 1e8) - 1e8
    torch.testing.assert_close(found.mean - 1e8, shifted.mean(0), rtol=0, atol=1e-7)
    torch.testing.assert_close(found.covariance, torch.cov(shifted.T, correction=0), rtol=1e-12, atol=1e-14)
    assert found.variance[3] == 0
    assert found.count == 100


def degenerate(name):
    """Data and a latent dimension at which something is singular."""
    x = data(300, 6)
    constant = x.clone()
    constant[:, 2], constant[:, 4] = 0.1, -3e5
    cases = {
        "duplicate_columns": (torch.cat([x, x], 1), 3),
        "constant_columns": (constant, 2),
        "one_column_varies": (torch.cat([x[:, :1], torch.full((300, 5), 7.0)], 1), 2),
        "rank_2": (torch.randn(300, 2) @ torch.randn(2, 8), 4),
        "fewer_examples": (data(20, 40), 5),
        "fewer_examples_all_dims": (data(20, 40), 39),
        "two_examples": (x[:2], 3),
        "all_dims_but_one": (x, 5),
    }
    return cases[name]


CASES = ["duplicate_columns", "constant_columns", "one_column_varies", "rank_2", "fewer_examples",
         "fewer_examples_all_dims", "two_examples", "all_dims_but_one"]  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("floor", [(0.0, 1e-3), (0.0, 1e-6), (1e-12, 0.0)])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", [PPCA, FactorAnalysis])
def test_degenerate_data_stay_finite(kind, name, floor):
    x, latent_dim = degenerate(name)
    made, seen = fit(kind, x, latent_dim, 60, floor[1], floor[0])
    log_p, q = made.log_prob(x), made.infer(x)
    assert log_p.isfinite().all()
    assert q.scale_tril.isfinite().all()
    assert made.sample(3).isfinite().all()
    rounding = 1e-9 if floor[1] == 1e-3 else 1e-4  # the precision of z is the square of the inverse floor
    assert seen.diff().min() > -rounding * seen.abs().max()
    last = mean_log_prob(made.density, Moments.from_batches([x]))
    torch.testing.assert_close(log_p.mean(), last, rtol=10 * rounding, atol=0)


@pytest.mark.parametrize("x", [torch.full((5, 4), 3.0), torch.randn(1, 4)])
def test_equal_examples_need_a_floor(x):
    with pytest.raises(ValueError, match="all training examples are equal.*set an absolute floor"):
        fit(FactorAnalysis, x)
    made, _ = fit(FactorAnalysis, x, min_scale=0.1, num_steps=5)
    expected = -4 * math.log(0.1 * math.sqrt(2 * math.pi))
    assert made.log_prob(x).mean().item() == pytest.approx(expected, abs=1e-3)


def test_parameters_stay_double():
    m = model().float()
    assert {parameter.dtype for parameter in m.parameters()} == {torch.float64}
    assert m.log_min_var.dtype == torch.float64
    assert m.sample(2).dtype == torch.float32
    m.bias.data += 1e8 + 0.25
    before = m.bias.detach().clone()
    assert torch.equal(m.float().double().bias, before)
    assert m.sample(2).dtype == torch.float64


def test_likelihood_warnings_are_named():
    x = data(300, 6)
    assert fit(FactorAnalysis, x)[0].likelihood_warning is None
    x[:, 2] = 0.5
    assert fit(FactorAnalysis, x)[0].likelihood_warning == (
        "the noise of 1 of 6 columns is at its floor, on which the likelihood depends (relative_min_scale=0.001)\n"
        "1 of 6 columns are constant over the training examples"
    )
    few = fit(PPCA, data(5, 8), latent_dim=5)[0].likelihood_warning
    assert few.startswith("the noise of all columns is at its floor")
    assert "fewer training examples (5) than dimensions (8)" in few


def test_floor_is_relative_to_own_scale():
    x = data(300, 6) * torch.tensor([0.1, 0.3, 1.0, 3.0, 10.0, 30.0])
    made = FactorAnalysis((6,), 2, 0.0, 1e-3)
    made.initialize(x)
    floor = torch.exp(0.5 * made.log_min_var)
    torch.testing.assert_close(floor, 1e-3 * x.std(0, correction=0))
    shared = PPCA((6,), 2, 0.0, 1e-3)
    shared.initialize(x)
    torch.testing.assert_close(torch.exp(0.5 * shared.log_min_var), floor.min().unsqueeze(0))
