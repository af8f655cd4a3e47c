"""The variational auto-encoder with two levels of latent variables.

Source: J. M. Tomczak, M. Welling, VAE with a VampPrior, AISTATS 2018, https://arxiv.org/abs/1705.07120, section 4.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dgm_run.decoders.base import Decoder
from dgm_run.distributions.base import Distribution
from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian
from dgm_run.distributions.hierarchical import Hierarchical
from dgm_run.encoders.base import Encoder
from dgm_run.models.base import ContinuousLatentModel
from dgm_run.networks.gaussian import GaussianLayer
from dgm_run.networks.mlp import Activation, TwoInputLayer, mlp
from dgm_run.posteriors.base import ExplicitPosterior
from dgm_run.priors.base import AuxiliaryLossPrior, Prior


class HVAE(ContinuousLatentModel):
    """p(x, z1, z2) = p(x | z1, z2) p(z1 | z2) p(z2) with q(z2 | x) q(z1 | x, z2).

    Prior and posterior are those of z2; z1 is Gaussian given z2, and given x and z2. As one vector z = (z1, z2).

    Args:
        latent_dim: dimensions of z2, L2.
        total_dim: of z1 and z2, which the decoder reads.
        prior: p(z2).
        posterior: q(z2 | x).
        encoder: gives the features by which x reaches q(z1 | x, z2); that of the posterior is another.
        decoder: p(x | z1, z2).
        hidden_dims: of the networks from z2 to z1; in q, x joins in at the last of them.
        activation: of these networks.
        log_var_range: log-variances of z1 are clamped to it, with no gradient outside.

    Raises:
        ValueError: a level has no dimension, there is no hidden layer, or the prior teaches itself.
    """

    copies = {"encoder": 2}  # the one of the posterior, and one of its own

    def __init__(
        self,
        latent_dim: int,
        total_dim: int,
        prior: Prior,
        posterior: ExplicitPosterior,
        encoder: Encoder,
        decoder: Decoder,
        hidden_dims: Sequence[int],
        activation: Activation,
        log_var_range: Sequence[float],
    ):
        super().__init__()
        if not total_dim > latent_dim > 0:
            raise ValueError(
                f"total_dim = {total_dim} counts both levels: it must exceed latent_dim = {latent_dim} > 0"
            )
        if isinstance(prior, AuxiliaryLossPrior):
            raise ValueError("this prior learns from p(x | z) of one level: use model=vae, or another prior")
        if not hidden_dims:
            raise ValueError("hidden_dims: the networks of the lower level need a hidden layer")
        self.lower_dim = total_dim - latent_dim
        self.prior = prior
        self.posterior = posterior
        self.decoder = decoder
        self.encoder = encoder

        # q: the upper level through all hidden layers but the last, where x joins in; p: through all of them
        *first, last = hidden_dims
        self.from_upper = mlp(latent_dim, first, activation)
        self.joint = TwoInputLayer(encoder.feature_dim, first[-1] if first else latent_dim, last, activation)
        self.recognition = GaussianLayer(last, self.lower_dim, log_var_range)
        self.to_lower = mlp(latent_dim, hidden_dims, activation)
        self.generation = GaussianLayer(last, self.lower_dim, log_var_range)

    def infer(self, x: Tensor) -> Hierarchical:
        return self._with_lower(self.posterior(x), x)

    def latent_prior(self) -> Hierarchical:
        return self._over_upper(self.prior(self.posterior))

    def infer_with_prior(self, x: Tensor) -> tuple[Distribution, Distribution]:
        q, p = self.prior.with_posterior(self.posterior, x)
        return self._with_lower(q, x), self._over_upper(p)

    def decode(self, z: Tensor) -> Distribution:
        return self.decoder(self._read(z))

    def _read(self, z: Tensor) -> Tensor:
        lower, upper = z.split([self.lower_dim, z.shape[-1] - self.lower_dim], -1)
        return torch.cat([lower, self.prior.code(upper)], -1)

    def _with_lower(self, q: Distribution, x: Tensor) -> Hierarchical:
        """q(z2 | x) q(z1 | x, z2)."""
        of_x = self.joint.first(self.encoder(x))  # once for all samples of z2

        def lower(upper: Tensor) -> DiagonalGaussian:
            hidden = self.joint(of_x, self.from_upper(self.prior.code(upper)))
            return self.recognition(hidden, like=upper)

        return Hierarchical(q, lower, self.lower_dim, second_in_front=True)

    def _over_upper(self, p: Distribution) -> Hierarchical:
        """p(z2) p(z1 | z2)."""

        def lower(upper: Tensor) -> DiagonalGaussian:
            return self.generation(self.to_lower(self.prior.code(upper)), like=upper)

        return Hierarchical(p, lower, self.lower_dim, second_in_front=True)
