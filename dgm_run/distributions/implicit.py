"""Densities known by their samples alone."""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape
from dgm_run.distributions.full_gaussian import FullGaussian

DRAWS = 500
"""By which a Gaussian is fitted."""

WIDER = 1.2
"""Its axes against those of the draws: a proposal has to reach beyond what it stands for."""


class Implicit(Distribution):
    """z = generate(noise), noise from N(0, I): there is no density.

    Args:
        generate: (*sample, *batch, noise_dim) -> (*sample, *batch, L).
        noise_dim: of the noise.
        batch_shape: of the examples that `generate` knows.
        dim: L.
        like: a tensor that gives type and device.
    """

    has_rsample = True
    proposal_settings = {"proposal": f"gaussian fitted to {DRAWS} draws"}

    def __init__(
        self, generate: Callable[[Tensor], Tensor], noise_dim: int, batch_shape: torch.Size, dim: int, like: Tensor
    ):
        super().__init__(batch_shape, torch.Size([dim]))
        self.generate, self.noise_dim, self._like = generate, noise_dim, like

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        shape = torch.Size(sample_shape) + self.batch_shape + (self.noise_dim,)
        return self.generate(torch.randn(shape, dtype=self._like.dtype, device=self._like.device))

    def log_prob(self, value: Tensor) -> Tensor:
        raise NotImplementedError("an implicit density is known by its samples alone")

    @torch.no_grad()
    def proposal(self) -> FullGaussian:
        """A Gaussian with the mean and covariance of `DRAWS` samples, a little wider."""
        z = self.sample((DRAWS,))
        centred = z - z.mean(0)
        covariance = torch.einsum("sbi,sbj->bij", centred, centred) / (DRAWS - 1)
        spread = covariance.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True).unsqueeze(-1)
        # a little of a sphere: draws that lie on a line still give a density
        rounded = covariance + (0.01 * spread + 1e-6) * torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
        return FullGaussian(z.mean(0), WIDER * torch.linalg.cholesky(rounded))
