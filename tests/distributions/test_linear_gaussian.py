import mpmath
import pytest
import torch
from torch.distributions import MultivariateNormal

from dgm_run.distributions.linear_gaussian import LinearGaussian, cholesky
from tests.support.contracts import check_density_integrates_to_one, check_moments, check_sampler_follows_density


def make(dim=6, latent_dim=2):
    torch.manual_seed(0)
    return LinearGaussian(
        torch.randn(dim, latent_dim).double(), torch.randn(dim).double(), 0.5 * torch.randn(dim).double() - 1
    )


def covariance(p):
    return p.weight @ p.weight.T + torch.diag(p.log_var.exp())


def test_density_matches_dense_covariance():
    p, x = make(), 2 * torch.randn(20, 6).double()
    expected = MultivariateNormal(p.bias, covariance(p)).log_prob(x)
    torch.testing.assert_close(p.log_prob(x), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(p.variance, covariance(p).diagonal())


def test_samples_have_the_moments():
    check_density_integrates_to_one(make(2, 1))
    check_sampler_follows_density(make(2, 1))
    p = make()
    check_moments(p, p.bias, covariance(p))


def test_posterior_matches_joint_gaussian():
    p, x = make(), torch.randn(4, 6).double()
    gain = p.weight.T @ torch.linalg.inv(covariance(p))
    q = p.posterior(x)
    torch.testing.assert_close(q.mean, (x - p.bias) @ gain.T)
    left = torch.eye(2).double() - gain @ p.weight
    torch.testing.assert_close(q.scale_tril @ q.scale_tril.mT, left.expand(4, -1, -1))


def log_prob_by_mpmath(p, x):
    """log N(x; bias, W W' + diag(exp(log_var))) with 60 digits, of x, (D,)."""
    with mpmath.workdps(60):
        weight = mpmath.matrix(p.weight.tolist())
        total = weight * weight.T + mpmath.diag([mpmath.exp(mpmath.mpf(v)) for v in p.log_var.tolist()])
        away = mpmath.matrix([mpmath.mpf(a) - mpmath.mpf(b) for a, b in zip(x.tolist(), p.bias.tolist(), strict=True)])
        squares = (away.T * mpmath.lu_solve(total, away))[0]
        return float(-(squares + mpmath.log(mpmath.det(total)) + len(away) * mpmath.log(2 * mpmath.pi)) / 2)


@pytest.mark.parametrize("noise", [1.0, 1e-3, 1e-6])
def test_little_noise_cancels_nothing(noise):
    p = make()
    p = LinearGaussian(p.weight, p.bias + 1e4, p.log_var + 2 * torch.tensor(noise).double().log())
    torch.manual_seed(1)
    for x in p.sample((5,)):
        expected = log_prob_by_mpmath(p, x)
        assert p.log_prob(x.unsqueeze(0)).item() == pytest.approx(expected, rel=1e-6, abs=1e-4 if noise < 1e-3 else 0)


def test_missing_elements_are_summed_out():
    p, x = make(), torch.randn(3, 6).double()
    x[0, 1] = x[1, 4] = x[1, 5] = torch.nan
    for row, log_p in zip(x, p.log_prob(x), strict=True):
        known = ~row.isnan()
        marginal = MultivariateNormal(p.bias[known], covariance(p)[known][:, known])
        torch.testing.assert_close(log_p, marginal.log_prob(row[known]))


def test_indefinite_matrix_is_factorised():
    ones = 1e20 * torch.ones(3, 3, dtype=torch.float64)
    matrix = torch.stack([ones, torch.eye(3, dtype=torch.float64)])
    factor = cholesky(matrix)
    torch.testing.assert_close(factor @ factor.mT, matrix, rtol=1e-13, atol=0)
