"""Kumaraswamy posterior of stick-breaking auto-encoders.

Source: E. Nalisnick, P. Smyth, Stick-breaking variational autoencoders, 2017, https://arxiv.org/abs/1605.06197.
"""

import torch.nn.functional as F
from torch import Tensor

from dgm_run.distributions.kumaraswamy import LogitKumaraswamy
from dgm_run.encoders.base import Encoder
from dgm_run.networks.linear import linear
from dgm_run.posteriors.base import EvaluablePosterior


class KumaraswamyPosterior(EvaluablePosterior):
    """q(z | x): log-odds of Kumaraswamy variables; a(x) and b(x) are softplus of linear maps of the features.

    Args:
        encoder: computes the features.
        latent_dim: L.
        min_shape: floor of a and b; below about 0.1 samples concentrate at the ends of the interval.

    Raises:
        ValueError: the floor is not positive.
    """

    def __init__(self, encoder: Encoder, latent_dim: int, min_shape: float):
        super().__init__()
        if not min_shape > 0:
            raise ValueError(f"min_shape = {min_shape} must be positive")
        self.encoder = encoder
        self.min_shape = min_shape
        self.head = linear(encoder.feature_dim, 2 * latent_dim)

    def forward(self, x: Tensor) -> LogitKumaraswamy:
        shapes = F.softplus(self.head(self.encoder(x)).to(x.dtype)) + self.min_shape
        return LogitKumaraswamy(*shapes.chunk(2, -1))
