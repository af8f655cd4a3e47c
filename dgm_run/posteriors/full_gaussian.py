"""Gaussian posterior with a full covariance matrix."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.distributions.full_gaussian import FullGaussian
from dgm_run.encoders.base import Encoder
from dgm_run.networks.linear import linear
from dgm_run.posteriors.base import EvaluablePosterior

INIT_FACTOR = 0.1
"""Initial scale of the entries below the diagonal relative to those on it."""


class FullGaussianPosterior(EvaluablePosterior):
    """q(z | x) = N(z; mean(x), C(x) C(x)^T), C lower triangular with a softplus diagonal.

    Args:
        encoder: computes the features.
        latent_dim: L; the head grows with L (L + 1) / 2.
        min_scale: floor of the diagonal of C.

    Raises:
        ValueError: the floor is negative.
    """

    tril: Tensor
    on_diagonal: Tensor

    def __init__(self, encoder: Encoder, latent_dim: int, min_scale: float):
        super().__init__()
        if min_scale < 0:
            raise ValueError(f"min_scale = {min_scale} must not be negative")
        self.encoder = encoder
        self.latent_dim = latent_dim
        self.min_scale = min_scale
        rows, columns = torch.tril_indices(latent_dim, latent_dim)
        self.register_buffer("tril", rows * latent_dim + columns, persistent=False)
        self.register_buffer("on_diagonal", rows == columns, persistent=False)
        self.head = linear(encoder.feature_dim, latent_dim + len(rows))
        with torch.no_grad():  # starts near a diagonal covariance, because z depends on the sum of a row's entries
            self.head.weight[latent_dim:][~self.on_diagonal] *= INIT_FACTOR

    def forward(self, x: Tensor) -> FullGaussian:
        output = self.head(self.encoder(x)).to(x.dtype)
        mean = output[..., : self.latent_dim]
        entries = output[..., self.latent_dim :]
        entries = torch.where(self.on_diagonal, F.softplus(entries) + self.min_scale, entries)
        flat = entries.new_zeros(*entries.shape[:-1], self.latent_dim**2)
        flat = flat.index_copy(-1, self.tril, entries)
        return FullGaussian(mean, flat.unflatten(-1, (self.latent_dim, self.latent_dim)))
