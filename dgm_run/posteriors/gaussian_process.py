"""Variational Gaussian process.

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
from dgm_run.networks.bounded import check_interval
from dgm_run.networks.gaussian import GaussianLayer
from dgm_run.networks.linear import linear
from dgm_run.networks.mlp import Activation, TwoInputLayer
from dgm_run.posteriors.base import ExplicitPosterior

JITTER = 1e-4
"""Fraction of the variance added to the kernel's diagonal, so that points may come close to one another."""


class GaussianProcessPosterior(ExplicitPosterior):
    """xi ~ N(0, I), f_l ~ GP given that f_l(s_n) = t_nl(x), z_l ~ N(f_l(xi), exp(v_l(x))).

    q(z | x) has no density in closed form. q(xi) q(z | xi, x) / r(xi | z, x) takes its place, with a model r of xi
    given z. Importance weights are then ratios of two densities over (xi, z), and stay unbiased. A worse r lowers the
    bound. The paper samples f as well; here f is integrated out, which never lowers the bound.

    Args:
        encoder: computes the features.
        latent_dim: L.
        log_var_range: interval of the log-variances of the noise around f, with no gradient outside.
        input_dim: dimensions of xi.
        num_points: N, number of points s_n; K(s, s) is factorised once a step, at a cost of N^3.
        hidden_dim: hidden units of r's network.
        activation: nonlinearity of r's network.

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
            raise ValueError(
                f"input_dim = {input_dim}, num_points = {num_points} and hidden_dim = {hidden_dim} must be positive"
            )
        self.encoder = encoder
        self.latent_dim = latent_dim
        self.log_var_range = check_interval(log_var_range)
        self.points = nn.Parameter(torch.randn(num_points, input_dim))
        # the initial length scale is the distance of the points: with a shorter one, f(xi) hardly depends on x
        self.log_length = nn.Parameter(torch.full((input_dim,), 0.5 * math.log(input_dim)))
        self.log_amplitude = nn.Parameter(torch.zeros(()))
        self.head = linear(encoder.feature_dim, (1 + num_points) * latent_dim)
        self.joint = TwoInputLayer(encoder.feature_dim, latent_dim, hidden_dim, activation)
        self.input_head = GaussianLayer(hidden_dim, input_dim, log_var_range)

    def forward(self, x: Tensor) -> "VariationalGaussianProcess":
        features = self.encoder(x)
        output = self.head(features).to(x.dtype)
        log_var = F.hardtanh(output[..., : self.latent_dim], *self.log_var_range)
        values = output[..., self.latent_dim :].unflatten(-1, (-1, self.latent_dim))  # (B, N, L)
        return VariationalGaussianProcess(self, values, log_var, self.joint.first(features))

    def kernel(self, a: Tensor, b: Tensor) -> Tensor:
        """Computes amplitude^2 exp(-|(a - b) / length|^2 / 2): (..., input_dim), (N, input_dim) -> (..., N)."""
        length = self.log_length.exp()
        squares = ((a / length).unsqueeze(-2) - b / length).square().sum(-1)  # (..., N)
        return torch.exp(2 * self.log_amplitude - 0.5 * squares)

    def condition_on_input(self, xi: Tensor, values: Tensor, log_var: Tensor) -> DiagonalGaussian:
        """Returns q(z | xi, x), the process given its values at the points plus noise.

        Args:
            xi: (*sample, B, input_dim).
            values: t, (B, N, L).
            log_var: log-variances of the noise, (B, L).
        """
        amplitude = torch.exp(2 * self.log_amplitude)
        noise = JITTER * amplitude * torch.eye(len(self.points), dtype=xi.dtype, device=xi.device)
        factor = torch.linalg.cholesky(self.kernel(self.points, self.points) + noise)
        to_points = self.kernel(xi, self.points)  # (*sample, B, N)
        weights = torch.cholesky_solve(to_points.flatten(0, -2).T, factor).T.view_as(to_points)
        mean = torch.einsum("...bn,bnl->...bl", weights, values)
        variance = (1 + JITTER) * amplitude - (weights * to_points).sum(-1, keepdim=True)
        return DiagonalGaussian(mean, torch.log(variance.clamp(min=0) + log_var.exp()))

    def infer_input(self, z: Tensor, feature_term: Tensor) -> DiagonalGaussian:
        """Returns r(xi | z, x), batch shape (*sample, B); `feature_term` is the features' term of the hidden layer."""
        return self.input_head(self.joint(feature_term, z), like=z)


class VariationalGaussianProcess(Distribution):
    """q(z | x) for a batch of examples, with samples and an unbiased substitute of the density at these samples."""

    has_rsample = True

    def __init__(self, process: GaussianProcessPosterior, values: Tensor, log_var: Tensor, feature_term: Tensor):
        super().__init__(log_var.shape[:-1], log_var.shape[-1:])
        self.process = process
        self.values = values
        self.log_var = log_var
        self.feature_term = feature_term

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self.rsample_and_log_prob(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: SampleShape = ()) -> tuple[Tensor, Tensor]:
        noise = StandardGaussian(self.process.points.shape[1], self.log_var)
        xi, log_q = noise.rsample_and_log_prob(torch.Size(sample_shape) + self.batch_shape)
        with full_precision(xi):
            z, log_z = self.process.condition_on_input(xi, self.values, self.log_var).rsample_and_log_prob()
        return z, log_q + log_z - self.process.infer_input(z, self.feature_term).log_prob(xi)

    def log_prob(self, value: Tensor) -> Tensor:
        raise NotImplementedError(
            "a variational Gaussian process has a density at its own samples only: use rsample_and_log_prob()"
        )
