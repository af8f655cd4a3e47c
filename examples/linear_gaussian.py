"""A latent-variable model as a plain torch module: x = W z + noise, with the posterior in closed form."""

import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal


class LinearGaussian(nn.Module):
    """p(z) = N(0, I), p(x | z) = N(W z + mean, scale^2 I), and q(z | x) = p(z | x).

    Args:
        dim: length of x.
        latent_dim: length of z.
        scale: standard deviation of the noise.
    """

    def __init__(self, dim: int, latent_dim: int, scale: float):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(dim, latent_dim))
        self.mean = nn.Parameter(torch.zeros(dim))
        self.scale = scale

    def infer(self, x: Tensor) -> MultivariateNormal:
        latent_dim = self.weight.shape[1]
        precision = torch.eye(latent_dim) + self.weight.T @ self.weight / self.scale**2
        covariance = precision.inverse()
        means = (x - self.mean) @ self.weight @ covariance / self.scale**2
        return MultivariateNormal(means, covariance)

    def latent_prior(self) -> Independent:
        zeros = self.mean.new_zeros(self.weight.shape[1])
        return Independent(Normal(zeros, torch.ones_like(zeros)), 1)

    def decode(self, z: Tensor) -> Independent:
        return Independent(Normal(z @ self.weight.T + self.mean, self.scale), 1)


def make(dim: int = 2, latent_dim: int = 1, scale: float = 0.5) -> LinearGaussian:
    """Makes the module, with random weights."""
    return LinearGaussian(dim, latent_dim, scale)
