"""Implicit distributions, known only through samples."""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape
from dgm_run.distributions.full_gaussian import FullGaussian

NUM_FIT_SAMPLES = 500
"""Number of samples for fitting the Gaussian proposal."""

PROPOSAL_SCALE = 1.2
"""Scale of the proposal relative to the samples: a proposal has to be wider than its target."""


class Implicit(Distribution):
    """z = generate(noise), noise from N(0, I), without a density.

    Args:
        generate: (*sample, *batch, noise_dim) -> (*sample, *batch, L).
        noise_dim: dimensions of the noise.
        batch_shape: batch shape of the examples that `generate` depends on.
        dim: L.
        like: a tensor that gives type and device.
    """

    has_rsample = True
    proposal_settings = {"proposal": f"gaussian fitted to {NUM_FIT_SAMPLES} draws"}

    def __init__(
        self, generate: Callable[[Tensor], Tensor], noise_dim: int, batch_shape: torch.Size, dim: int, like: Tensor
    ):
        super().__init__(batch_shape, torch.Size([dim]))
        self.generate = generate
        self.noise_dim = noise_dim
        self._like = like

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        shape = torch.Size(sample_shape) + self.batch_shape + (self.noise_dim,)
        return self.generate(torch.randn(shape, dtype=self._like.dtype, device=self._like.device))

    def log_prob(self, value: Tensor) -> Tensor:
        raise NotImplementedError("an implicit distribution has samples but no density: use proposal()")

    @torch.no_grad()
    def proposal(self) -> FullGaussian:
        """Fits a Gaussian to the mean and covariance of `NUM_FIT_SAMPLES` samples, scaled by `PROPOSAL_SCALE`."""
        z = self.sample((NUM_FIT_SAMPLES,))
        centred = z - z.mean(0)
        covariance = torch.einsum("sbi,sbj->bij", centred, centred) / (NUM_FIT_SAMPLES - 1)
        spread = covariance.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True).unsqueeze(-1)
        # adds a small multiple of the identity, so that collinear samples give a density
        rounded = covariance + (0.01 * spread + 1e-6) * torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
        return FullGaussian(z.mean(0), PROPOSAL_SCALE * torch.linalg.cholesky(rounded))
