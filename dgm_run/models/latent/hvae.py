"""Variational auto-encoder with two levels of latent variables.

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

    Prior and posterior belong to z2. p(z1 | z2) and q(z1 | x, z2) are Gaussian. The code is z = (z1, z2).

    Args:
        latent_dim: L2, dimensions of z2.
        total_dim: dimensions of z1 and z2 together, which the decoder reads.
        prior: p(z2).
        posterior: q(z2 | x).
        encoder: computes the features of x for q(z1 | x, z2); the posterior has its own encoder.
        decoder: p(x | z1, z2).
        hidden_dims: hidden layers from z2 to z1; in q the last of them also reads the features of x.
        activation: nonlinearity of these networks.
        log_var_range: interval to which log-variances of z1 are clamped; no gradient outside.

    Raises:
        ValueError: a level has no dimension, there is no hidden layer, or the prior has an auxiliary loss.
    """

    copies = {"encoder": 2}  # one in the posterior, one in the model

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
            raise ValueError(
                f"{type(prior).__name__} learns from p(x | z) with one level of z: choose model=vae, or another prior"
            )
        if not hidden_dims:
            raise ValueError("hidden_dims = [] is empty: the networks of the lower level need a hidden layer")
        self.lower_dim = total_dim - latent_dim
        self.prior = prior
        self.posterior = posterior
        self.decoder = decoder
        self.encoder = encoder

        # q(z1 | x, z2): only the last hidden layer also reads the features of x; p(z1 | z2): no layer does
        *first, last = hidden_dims
        self.from_upper = mlp(latent_dim, first, activation)
        self.joint = TwoInputLayer(encoder.feature_dim, first[-1] if first else latent_dim, last, activation)
        self.recognition = GaussianLayer(last, self.lower_dim, log_var_range)
        self.to_lower = mlp(latent_dim, hidden_dims, activation)
        self.generation = GaussianLayer(last, self.lower_dim, log_var_range)

    def infer(self, x: Tensor) -> Hierarchical:
        return self._extend_posterior(self.posterior(x), x)

    def latent_prior(self) -> Hierarchical:
        return self._extend_prior(self.prior(self.posterior))

    def infer_with_prior(self, x: Tensor) -> tuple[Distribution, Distribution]:
        q, p = self.prior.infer_with_prior(self.posterior, x)
        return self._extend_posterior(q, x), self._extend_prior(p)

    def decode(self, z: Tensor) -> Distribution:
        return self.decoder(self._join_levels(z))

    def _join_levels(self, z: Tensor) -> Tensor:
        """Maps z to the decoder's input, in which the prior's code replaces z2."""
        lower, upper = z.split([self.lower_dim, z.shape[-1] - self.lower_dim], -1)
        return torch.cat([lower, self.prior.compute_decoder_input(upper)], -1)

    def _extend_posterior(self, q: Distribution, x: Tensor) -> Hierarchical:
        """Returns q(z2 | x) q(z1 | x, z2)."""
        x_term = self.joint.first(self.encoder(x))  # once for all samples of z2

        def lower(upper: Tensor) -> DiagonalGaussian:
            hidden = self.joint(x_term, self.from_upper(self.prior.compute_decoder_input(upper)))
            return self.recognition(hidden, like=upper)

        return Hierarchical(q, lower, self.lower_dim, has_second_first=True)

    def _extend_prior(self, p: Distribution) -> Hierarchical:
        """Returns p(z2) p(z1 | z2)."""

        def lower(upper: Tensor) -> DiagonalGaussian:
            return self.generation(self.to_lower(self.prior.compute_decoder_input(upper)), like=upper)

        return Hierarchical(p, lower, self.lower_dim, has_second_first=True)
