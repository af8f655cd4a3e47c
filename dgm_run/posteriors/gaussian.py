"""Diagonal Gaussian posterior of the first VAEs.

Source: D. P. Kingma, M. Welling, Auto-encoding variational Bayes, 2013, https://arxiv.org/abs/1312.6114;
D. J. Rezende et al., Stochastic backpropagation, 2014, https://arxiv.org/abs/1401.4082.
"""

from collections.abc import Sequence

from torch import Tensor

from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian, bounded_gaussian
from dgm_run.encoders.base import Encoder
from dgm_run.networks.bounded import check_interval
from dgm_run.networks.linear import linear
from dgm_run.posteriors.base import EvaluablePosterior


class GaussianPosterior(EvaluablePosterior):
    """q(z | x) = N(z; mean(x), diag(exp(log_var(x)))), both linear in the encoder's features.

    Args:
        encoder: computes the features.
        latent_dim: L.
        log_var_range: interval to which log-variances are clamped; no gradient outside. It keeps exp(-log_var) finite.
    """

    def __init__(self, encoder: Encoder, latent_dim: int, log_var_range: Sequence[float]):
        super().__init__()
        self.encoder = encoder
        self.head = linear(encoder.feature_dim, 2 * latent_dim)
        self.log_var_range = check_interval(log_var_range)

    def forward(self, x: Tensor) -> DiagonalGaussian:
        mean, log_var = self.head(self.encoder(x)).to(x.dtype).chunk(2, -1)
        return bounded_gaussian(mean, log_var, self.log_var_range)
