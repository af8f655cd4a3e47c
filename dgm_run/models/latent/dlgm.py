"""Deep latent Gaussian model with two levels, inferred from the bottom up.

Sources: D. J. Rezende et al., Stochastic backpropagation, 2014, https://arxiv.org/abs/1401.4082;
Y. Burda et al., Importance weighted autoencoders, 2016, https://arxiv.org/abs/1509.00519, section 3.
"""

from collections.abc import Sequence

from torch import Tensor

from dgm_run.decoders.base import Decoder
from dgm_run.distributions.base import Distribution
from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian
from dgm_run.distributions.hierarchical import Hierarchical
from dgm_run.models.base import ContinuousLatentModel
from dgm_run.networks.gaussian import GaussianLayer
from dgm_run.networks.mlp import Activation, mlp
from dgm_run.posteriors.base import ExplicitPosterior
from dgm_run.priors.base import StandalonePrior


class DLGM(ContinuousLatentModel):
    """p(x, z1, z2) = p(x | z1) p(z1 | z2) p(z2) with q(z1 | x) q(z2 | z1).

    Unlike in the HVAE, the upper level depends on x only through z1, and the decoder reads only z1. The code is the
    vector z = (z1, z2).

    Args:
        latent_dim: L1, dimensions of z1.
        upper_dim: dimensions of z2.
        prior: p(z2).
        posterior: q(z1 | x).
        decoder: p(x | z1).
        hidden_dims: hidden layers from z1 to z2 and, in reverse, from z2 to z1.
        activation: nonlinearity of these networks.
        log_var_range: interval to which log-variances of p(z1 | z2) and q(z2 | z1) are clamped; no gradient outside.

    Raises:
        ValueError: a level has no dimension, or there is no hidden layer.
    """

    def __init__(
        self,
        latent_dim: int,
        upper_dim: int,
        prior: StandalonePrior,
        posterior: ExplicitPosterior,
        decoder: Decoder,
        hidden_dims: Sequence[int],
        activation: Activation,
        log_var_range: Sequence[float],
    ):
        super().__init__()
        if min(latent_dim, upper_dim) < 1:
            raise ValueError(f"latent_dim = {latent_dim} and upper_dim = {upper_dim} must be positive")
        if not hidden_dims:
            raise ValueError("hidden_dims = [] is empty: the networks between the levels need a hidden layer")
        self.lower_dim = latent_dim
        self.upper_dim = upper_dim
        self.prior = prior
        self.posterior = posterior
        self.decoder = decoder

        downward_dims = list(reversed(hidden_dims))
        self.from_lower = mlp(latent_dim, hidden_dims, activation)
        self.recognition = GaussianLayer(hidden_dims[-1], upper_dim, log_var_range)
        self.from_upper = mlp(upper_dim, downward_dims, activation)
        self.generation = GaussianLayer(downward_dims[-1], latent_dim, log_var_range)

    def infer(self, x: Tensor) -> Hierarchical:
        return Hierarchical(self.posterior(x), self._infer_upper, self.upper_dim, has_second_first=False)

    def latent_prior(self) -> Hierarchical:
        return Hierarchical(self.prior(None), self._generate_lower, self.lower_dim, has_second_first=True)

    def decode(self, z: Tensor) -> Distribution:
        return self.decoder(z[..., : self.lower_dim])

    def _infer_upper(self, lower: Tensor) -> DiagonalGaussian:
        """Returns q(z2 | z1)."""
        return self.recognition(self.from_lower(lower), like=lower)

    def _generate_lower(self, upper: Tensor) -> DiagonalGaussian:
        """Returns p(z1 | z2)."""
        return self.generation(self.from_upper(self.prior.compute_decoder_input(upper)), like=upper)
