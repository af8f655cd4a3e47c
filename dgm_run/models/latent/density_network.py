"""The density network: a decoder alone, whose likelihood is a mean over draws of the prior.

Source: D. MacKay, Bayesian neural networks and density networks, 1995.
"""

import torch
from torch import Tensor

from dgm_run.decoders.base import Decoder
from dgm_run.distributions.base import Distribution
from dgm_run.distributions.batch_expanded import BatchExpanded
from dgm_run.models.base import ContinuousLatentModel
from dgm_run.priors.base import StandalonePrior

RECONSTRUCTION_DRAWS = 2000


class DensityNetwork(ContinuousLatentModel):
    """p(x) = integral of p(x | z) p(z) dz with nothing inferred: every z is a draw of the prior.

    As many draws are needed as the posterior is narrower than the prior: exp of the nats that x tells of z.

    Args:
        latent_dim: L; the parts refer to it.
        prior: p(z).
        decoder: p(x | z).
    """

    def __init__(self, latent_dim: int, prior: StandalonePrior, decoder: Decoder):
        super().__init__()
        self.latent_dim = latent_dim
        self.prior = prior
        self.decoder = decoder

    def infer(self, x: Tensor) -> BatchExpanded:
        """The prior, which is all that this model knows of z before it has weighed draws."""
        return BatchExpanded(self.latent_prior(), len(x))

    def latent_prior(self) -> Distribution:
        return self.prior(None)

    def decode(self, z: Tensor) -> Distribution:
        return self.decoder(self.prior.code(z))

    def log_likelihoods(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x_b | z_s) of every pair: (B, *shape), (S, L) -> (B, S). The draws serve all examples."""
        return self.decode(z).pairwise_log_prob(x)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean of p(x | z) at a draw of the prior, chosen as it explains x."""
        z = self.latent_prior().sample((RECONSTRUCTION_DRAWS,))
        chosen = torch.distributions.Categorical(logits=self.log_likelihoods(x, z)).sample()
        return self.decode(z[chosen]).mean
