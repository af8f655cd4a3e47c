"""Variational auto-encoder with one level of latent variables.

Source: D. P. Kingma, M. Welling, Auto-encoding variational Bayes, 2013, https://arxiv.org/abs/1312.6114.
"""

import torch
from torch import Tensor

from dgm_run.decoders.base import Decoder
from dgm_run.distributions.base import Distribution
from dgm_run.models.base import ContinuousLatentModel
from dgm_run.networks.frozen_parameters import frozen_parameters
from dgm_run.posteriors.base import Posterior
from dgm_run.priors.base import AuxiliaryLossPrior, Prior


class VAE(ContinuousLatentModel):
    """Model p(x | z) p(z) with q(z | x), of any prior, posterior and decoder with the same latent dimensions.

    Args:
        latent_dim: L; prior, posterior and decoder refer to it.
        prior: p(z).
        posterior: q(z | x).
        decoder: p(x | z).

    Raises:
        ValueError: there is no latent dimension.
    """

    def __init__(self, latent_dim: int, prior: Prior, posterior: Posterior, decoder: Decoder):
        super().__init__()
        if latent_dim < 1:
            raise ValueError(f"latent_dim = {latent_dim} must be positive")
        self.latent_dim = latent_dim
        self.prior = prior
        self.posterior = posterior
        self.decoder = decoder

    def auxiliary_loss(self) -> Tensor | float:
        if not isinstance(self.prior, AuxiliaryLossPrior) or not torch.is_grad_enabled():
            return 0.0
        with frozen_parameters(self.decoder):
            return self.prior.auxiliary_loss(self.decode)

    def infer(self, x: Tensor) -> Distribution:
        return self.posterior(x)

    def latent_prior(self) -> Distribution:
        return self.prior(self.posterior)

    def infer_with_prior(self, x: Tensor) -> tuple[Distribution, Distribution]:
        return self.prior.infer_with_prior(self.posterior, x)

    def decode(self, z: Tensor) -> Distribution:
        return self.decoder(self.prior.compute_decoder_input(z))
