"""The variational Gaussian process.

Source: D. Tran, R. Ranganath, D. Blei, The variational Gaussian process, 2016, https://arxiv.org/abs/1511.06499.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run.distributions.base import Distribution, SampleShape, full_precision
from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian
from dgm_run.distributions.standard_gaussian import StandardGaussian
from dgm_run.encoders.base import Encoder
from dgm_run.networks.bounded import interval
from dgm_run.networks.gaussian import GaussianLayer
from dgm_run.networks.linear import linear
from dgm_run.networks.mlp import Activation, TwoInputLayer
from dgm_run.posteriors.base import ExplicitPosterior

JITTER = 1e-4
"""Share of its variance that is added to the function at each point, so that points may come close to one another."""


class GaussianProcessPosterior(ExplicitPosterior):
    """xi ~ N(0, I), f_l ~ GP given that f_l(s_n) = t_nl(x), z_l ~ N(f_l(xi), exp(v_l(x))).

    q(z | x) has no density in closed form. What stands for it is q(xi) q(z | xi, x) / r(xi | z, x), with a model r of
    xi given z: 1 / w is then the ratio of two densities over (xi, z), so that weights stay unbiased, and the bound
    is the lower the worse r is. The paper draws f as well; here it is integrated out, which is never worse.

    Args:
        encoder: gives the features.
        latent_dim: L.
        log_var_range: of the noise around f, with no gradient outside.
        input_dim: of xi.
        num_points: N, where f is known; K(s, s) is factorised once a step, in N^3.
        hidden_dim: of the network of r.
        activation: of the network of r.

    Raises:
        ValueError: a number is not positive.
    """

    def __init__(
        self,
        encoder: Encoder,
        latent_dim: int,
        log_var_range: Sequence[float],
        input_dim: int,
        num_points: int,
        hidden_dim: int,
        activation: Activation,
    ):
        super().__init__()
        if min(input_dim, num_points, hidden_dim) < 1:
            raise ValueError("input_dim, num_points and hidden_dim must be positive")
        self.encoder, self.latent_dim, self.log_var_range = encoder, latent_dim, interval(log_var_range)
        self.points = nn.Parameter(torch.randn(num_points, input_dim))
        # as long as the points lie apart: where they are strangers to xi the process tells nothing of x
        self.log_length = nn.Parameter(torch.full((input_dim,), 0.5 * math.log(input_dim)))
        self.log_amplitude = nn.Parameter(torch.zeros(()))
        self.head = linear(encoder.feature_dim, (1 + num_points) * latent_dim)
        self.joint = TwoInputLayer(encoder.feature_dim, latent_dim, hidden_dim, activation)
        self.of_input = GaussianLayer(hidden_dim, input_dim, log_var_range)

    def forward(self, x: Tensor) -> "VariationalGaussianProcess":
        features = self.encoder(x)
        output = self.head(features).to(x.dtype)
        log_var = F.hardtanh(output[..., : self.latent_dim], *self.log_var_range)
        values = output[..., self.latent_dim :].unflatten(-1, (-1, self.latent_dim))  # (B, N, L)
        return VariationalGaussianProcess(self, values, log_var, self.joint.first(features))

    def kernel(self, a: Tensor, b: Tensor) -> Tensor:
        """amplitude^2 exp(-|(a - b) / length|^2 / 2): (..., input_dim), (N, input_dim) -> (..., N)."""
        length = self.log_length.exp()
        distance = ((a / length).unsqueeze(-2) - b / length).square().sum(-1)
        return torch.exp(2 * self.log_amplitude - 0.5 * distance)

    def given_input(self, xi: Tensor, values: Tensor, log_var: Tensor) -> DiagonalGaussian:
        """q(z | xi, x): the process given its values at the points, (B, N, L), and noise."""
        amplitude = torch.exp(2 * self.log_amplitude)
        noise = JITTER * amplitude * torch.eye(len(self.points), dtype=xi.dtype, device=xi.device)
        factor = torch.linalg.cholesky(self.kernel(self.points, self.points) + noise)
        to_points = self.kernel(xi, self.points)  # (*sample, B, N)
        weights = torch.cholesky_solve(to_points.flatten(0, -2).T, factor).T.view_as(to_points)
        mean = torch.einsum("...bn,bnl->...bl", weights, values)
        variance = (1 + JITTER) * amplitude - (weights * to_points).sum(-1, keepdim=True)
        return DiagonalGaussian(mean, torch.log(variance.clamp(min=0) + log_var.exp()))

    def input_given(self, z: Tensor, of_features: Tensor) -> DiagonalGaussian:
        """r(xi | z, x)."""
        return self.of_input(self.joint(of_features, z), like=z)


class VariationalGaussianProcess(Distribution):
    """q(z | x) for a batch of examples, known by its samples and what stands for its density there."""

    has_rsample = True

    def __init__(self, process: GaussianProcessPosterior, values: Tensor, log_var: Tensor, of_features: Tensor):
        super().__init__(log_var.shape[:-1], log_var.shape[-1:])
        self.process, self.values, self.log_var, self.of_features = process, values, log_var, of_features

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self.rsample_and_log_prob(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: SampleShape = ()) -> tuple[Tensor, Tensor]:
        noise = StandardGaussian(self.process.points.shape[1], self.log_var)
        xi, log_q = noise.rsample_and_log_prob(torch.Size(sample_shape) + self.batch_shape)
        with full_precision(xi):
            z, log_z = self.process.given_input(xi, self.values, self.log_var).rsample_and_log_prob()
        return z, log_q + log_z - self.process.input_given(z, self.of_features).log_prob(xi)

    def log_prob(self, value: Tensor) -> Tensor:
        raise NotImplementedError("the density of a variational Gaussian process is known at its own samples alone")
