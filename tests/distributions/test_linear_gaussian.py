import torch
from contracts import check_density_integrates_to_one, check_moments, check_sampler_follows_density
from torch.distributions import MultivariateNormal

from dgm_run.distributions.linear_gaussian import LinearGaussian


def make(dim=6, latent_dim=2):
    torch.manual_seed(0)
    return LinearGaussian(
        torch.randn(dim, latent_dim).double(), torch.randn(dim).double(), 0.5 * torch.randn(dim).double() - 1
    )


def covariance(p):
    return p.weight @ p.weight.T + torch.diag(p.log_var.exp())


def test_the_density_is_that_of_its_dense_covariance():
    p, x = make(), 2 * torch.randn(20, 6).double()
    expected = MultivariateNormal(p.bias, covariance(p)).log_prob(x)
    torch.testing.assert_close(p.log_prob(x), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(p.variance, covariance(p).diagonal())


def test_it_is_a_density_and_samples_have_its_moments():
    check_density_integrates_to_one(make(2, 1))
    check_sampler_follows_density(make(2, 1))
    p = make()
    check_moments(p, p.bias, covariance(p))


def test_the_posterior_is_that_of_the_joint_gaussian():
    p, x = make(), torch.randn(4, 6).double()
    gain = p.weight.T @ torch.linalg.inv(covariance(p))
    q = p.posterior(x)
    torch.testing.assert_close(q.mean, (x - p.bias) @ gain.T)
    left = torch.eye(2).double() - gain @ p.weight
    torch.testing.assert_close(q.scale_tril @ q.scale_tril.mT, left.expand(4, -1, -1))
