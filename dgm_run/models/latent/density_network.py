"""Density network: prior and decoder without an encoder; draws of the prior average the likelihood.

Source: D. MacKay, Bayesian neural networks and density networks, 1995.
"""

import torch
from torch import Tensor

from dgm_run.decoders.base import Decoder
from dgm_run.distributions.base import Distribution
from dgm_run.distributions.batch_expanded import BatchExpanded
from dgm_run.models.base import ContinuousLatentModel
from dgm_run.priors.base import StandalonePrior

NUM_RECONSTRUCTION_DRAWS = 2000
"""Number of draws of the prior among which a reconstruction chooses z."""


class DensityNetwork(ContinuousLatentModel):
    """p(x) = integral of p(x | z) p(z) dz without inference: every z is a draw of the prior.

    The necessary number of draws grows with exp(KL(p(z | x) || p(z))).

    Args:
        latent_dim: L; prior and decoder refer to it.
        prior: p(z).
        decoder: p(x | z).
    """

    def __init__(self, latent_dim: int, prior: StandalonePrior, decoder: Decoder):
        super().__init__()
        self.latent_dim = latent_dim
        self.prior = prior
        self.decoder = decoder

    def infer(self, x: Tensor) -> BatchExpanded:
        """Returns the prior for each example, batch shape (B,): the model has no encoder."""
        return BatchExpanded(self.latent_prior(), len(x))

    def latent_prior(self) -> Distribution:
        return self.prior(None)

    def decode(self, z: Tensor) -> Distribution:
        return self.decoder(self.prior.compute_decoder_input(z))

    def log_likelihoods(self, x: Tensor, z: Tensor) -> Tensor:
        """Computes log p(x_b | z_s) of every pair: (B, *shape), (S, L) -> (B, S). All examples share the draws."""
        return self.decode(z).pairwise_log_prob(x)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Returns the mean of p(x | z) at one draw of the prior, chosen with probability proportional to p(x | z)."""
        z = self.latent_prior().sample((NUM_RECONSTRUCTION_DRAWS,))
        chosen = torch.distributions.Categorical(logits=self.log_likelihoods(x, z)).sample()
        return self.decode(z[chosen]).mean
