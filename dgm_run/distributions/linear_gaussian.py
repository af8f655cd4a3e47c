"""Gaussian whose covariance is a low-rank matrix plus diagonal noise."""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape, full_precision
from dgm_run.distributions.diagonal_gaussian import LOG_2PI
from dgm_run.distributions.full_gaussian import FullGaussian


class LinearGaussian(Distribution):
    """N(x; bias, W W' + diag(exp(log_var))): x = W z + bias + noise with z ~ N(0, I).

    All computations use M = I + W' diag(exp(-log_var)) W, (L, L); the (D, D) covariance is never formed.

    Args:
        weight: W, (D, L).
        bias: (D,).
        log_var: log-variances of the noise, (D,).
    """

    has_rsample = True

    def __init__(self, weight: Tensor, bias: Tensor, log_var: Tensor):
        super().__init__(torch.Size(), bias.shape)
        self.weight = weight
        self.bias = bias
        self.log_var = log_var
        self.latent_dim = weight.shape[1]

    @property
    def mean(self) -> Tensor:
        return self.bias

    @property
    def variance(self) -> Tensor:
        return self.weight.square().sum(-1) + self.log_var.exp()

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        dtype, device = self.bias.dtype, self.bias.device
        z = torch.randn(*sample_shape, self.latent_dim, dtype=dtype, device=device)
        noise = torch.randn(*sample_shape, len(self.bias), dtype=dtype, device=device)
        return z @ self.weight.T + self.bias + torch.exp(0.5 * self.log_var) * noise

    def log_prob(self, value: Tensor) -> Tensor:
        """Computes log p(x), (B,); NaN elements of each example are marginalised out."""
        with full_precision(value):
            centred, observed = self._center(value)
            scaled, precision = self.latent_precision(observed)
            factor = cholesky(precision)
            z = _solve(factor, centred @ scaled)
            residual = centred - z @ self.weight.T
            residual = residual if observed is None else residual * observed
            # x' covariance^-1 x as the minimum of |x - W z|^2 / variance + |z|^2 over z: squares do not cancel
            squares = (residual.square() * torch.exp(-self.log_var)).sum(-1) + z.square().sum(-1)
        constants = self.log_var + LOG_2PI  # (D,)
        constant = constants.sum() if observed is None else observed @ constants
        return -0.5 * (squares + constant) - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def posterior(self, value: Tensor) -> FullGaussian:
        """Returns p(z | x) = N(M^-1 W' diag(exp(-log_var)) (x - bias), M^-1), exact; x is (B, D), NaN where unknown."""
        with full_precision(value):
            centred, observed = self._center(value)
            scaled, precision = self.latent_precision(observed)
            mean = _solve(cholesky(precision), centred @ scaled)
            # with J the reversal of rows and J M J = R R', (J R^-1 J)' is the factor of M^-1, which is not formed
            identity = torch.eye(self.latent_dim, dtype=precision.dtype, device=precision.device)
            reverse = cholesky(precision.flip(-1, -2))
            scale = torch.linalg.solve_triangular(reverse, identity, upper=False).mT.flip(-1, -2)
        return FullGaussian(mean, scale.expand(*mean.shape[:-1], -1, -1))

    def _center(self, value: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns x - bias with zeros for NaN, and a 0/1 mask of the observed elements; None if all are observed."""
        centred = value - self.bias
        missing = centred.isnan()
        if not bool(missing.any()):
            return centred, None
        return centred.masked_fill(missing, 0.0), (~missing).to(centred.dtype)

    def latent_precision(self, observed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns diag(exp(-log_var)) W, (D, L), and M, (L, L), the precision of z given any x.

        Args:
            observed: (B, D), one where an element of x is observed and zero elsewhere; M is then (B, L, L).
        """
        scaled = self.weight * torch.exp(-self.log_var).unsqueeze(-1)
        identity = torch.eye(self.latent_dim, dtype=scaled.dtype, device=scaled.device)
        if observed is None:
            return scaled, identity + self.weight.T @ scaled
        outer = (self.weight.unsqueeze(-1) * scaled.unsqueeze(-2)).flatten(1)  # (D, L L)
        return scaled, identity + (observed @ outer).unflatten(-1, identity.shape)  # (B, L, L)

    def map(self, function: Callable[[Tensor], Tensor]) -> "LinearGaussian":
        return LinearGaussian(function(self.weight), function(self.bias), function(self.log_var))


def cholesky(precision: Tensor) -> Tensor:
    """Computes the lower Cholesky factor of I + A'A, (..., L, L), with jitter if rounding left it indefinite."""
    factor, failed = torch.linalg.cholesky_ex(precision)
    if not bool(failed.any()):
        return factor
    largest = precision.diagonal(dim1=-2, dim2=-1).amax(-1)
    jitter = 8 * precision.shape[-1] * torch.finfo(precision.dtype).eps * largest
    identity = torch.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    return torch.linalg.cholesky_ex(precision + jitter[..., None, None] * identity)[0]


def _solve(factor: Tensor, b: Tensor) -> Tensor:
    """Computes M^-1 b, (..., L), from the factor of M: (L, L) for all b, or (..., L, L), one for each."""
    if factor.dim() == 2:
        return torch.cholesky_solve(b.reshape(-1, b.shape[-1]).mT, factor).mT.view_as(b)
    return torch.cholesky_solve(b.unsqueeze(-1), factor).squeeze(-1)
