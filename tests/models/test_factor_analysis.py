import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import FactorAnalysis as Peer
from torch.distributions import MultivariateNormal

import dgm_run
from dgm_run.config import instantiate
from dgm_run.distributions.linear_gaussian import LinearGaussian
from dgm_run.models.factor_analysis import FactorAnalysis, Moments, mean_log_prob

pytestmark = pytest.mark.usefixtures("double")


def data(n=500, dim=8):
    torch.manual_seed(0)
    scale = torch.rand(dim) + 0.2
    return torch.randn(n, 3) @ torch.randn(3, dim) + torch.randn(dim) + scale * torch.randn(n, dim)


def model(latent_dim=3, dim=8, min_scale=1e-3):
    torch.manual_seed(1)
    made = FactorAnalysis((1, 2, dim // 2), latent_dim, min_scale).double()
    made.initialize(data(dim=dim).view(-1, 1, 2, dim // 2))
    return made


def test_its_density_and_its_weights_are_the_dense_gaussian():
    m, x = model(), data(20).view(-1, 1, 2, 4)
    p = m.density
    dense = MultivariateNormal(p.bias, p.weight @ p.weight.T + torch.diag(p.log_var.exp()))
    log_p = m.log_prob(x)
    torch.testing.assert_close(log_p, dense.log_prob(x.flatten(1)))
    log_w = m.log_weights(x, 5)  # the posterior is exact: every draw weighs the same
    torch.testing.assert_close(log_w, log_p.expand(5, -1), rtol=0, atol=1e-9)


def test_samples_have_the_moments_of_the_density():
    m, n = model(), 100_000
    p, x = m.density, m.sample(n).flatten(1)
    covariance = p.weight @ p.weight.T + torch.diag(p.log_var.exp())
    assert (x.mean(0) - p.bias).abs().max() < 5 * covariance.diagonal().max().sqrt() / math.sqrt(n)
    error = (torch.cov(x.T) - covariance).abs().max()
    assert error < 6 * covariance.diagonal().max() / math.sqrt(n)


def test_moments_are_those_of_all_batches():
    x = data(100)
    found = Moments.of(x.view(-1, 1, 2, 4).split(33))
    torch.testing.assert_close(found.mean, x.mean(0))
    torch.testing.assert_close(found.covariance, torch.cov(x.T, correction=0))


def test_the_mean_likelihood_by_moments_is_that_of_the_examples():
    m, x = model(), data()
    torch.testing.assert_close(mean_log_prob(m.density, Moments.of([x])), m.log_prob(x).mean())


def test_no_step_lowers_the_likelihood_and_they_end_where_another_library_does():
    m, x = model(), data()
    moments = Moments.of([x])
    seen = torch.stack([m.em_step(moments) for _ in range(3000)])
    assert seen.diff().min() > -1e-10
    peer = Peer(3, tol=1e-12, max_iter=20_000, svd_method="lapack").fit(x.numpy())
    assert m.log_prob(x).mean().item() == pytest.approx(peer.score(x.numpy()), abs=1e-4)
    p = m.density
    np.testing.assert_allclose(p.log_var.exp().detach(), peer.noise_variance_, rtol=0.02)


def test_gradients_lead_where_expectation_maximisation_does():
    by_em, by_gradients, x = model(), model(), data()
    moments = Moments.of([x])
    for _ in range(3000):
        by_em.em_step(moments)
    optimizer = torch.optim.Adam(by_gradients.parameters(), lr=0.02)
    for _ in range(3000):
        optimizer.zero_grad()
        (-by_gradients.log_prob(x).mean()).backward()
        optimizer.step()
    assert by_gradients.log_prob(x).mean().item() == pytest.approx(by_em.log_prob(x).mean().item(), abs=0.01)


def test_where_steps_no_longer_move_the_gradient_is_zero():
    m, x = model(), data()
    for _ in range(5000):
        m.em_step(Moments.of([x]))
    m.log_prob(x).mean().backward()
    assert max(parameter.grad.abs().max() for parameter in m.parameters()) < 1e-5


def test_a_pixel_that_never_changes_is_held_up_by_the_floor():
    m, x = model(min_scale=0.05), data()
    x[:, 2] = 0.5
    moments = Moments.of([x])
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
        (["model.latent_dim=64"], "latent_dim = 64 must be positive and less than the 64 dimensions"),
        (["model.min_scale=0"], "min_scale = 0 must be positive"),
    ],
)
def test_settings_that_make_no_sense_are_refused(overrides, message):
    cfg = dgm_run.compose("model=factor_analysis", *overrides)
    with pytest.raises(dgm_run.errors.ConfigError, match=message):
        instantiate(cfg.model)
