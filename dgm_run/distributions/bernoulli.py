"""Independent binary pixels, parametrised by logits."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape, full_precision
from dgm_run.distributions.softplus import sum_softplus
from dgm_run.networks.products import multiply


class Bernoulli(Distribution):
    """p(x) = prod_d sigmoid(logit_d)^x_d (1 - sigmoid(logit_d))^(1 - x_d) for x in {0, 1}^D.

    Args:
        logits: (*batch, *shape), not clamped: a clamp would bound the loss from below and stop the gradient.
        event_dims: number of trailing dimensions that make one example.
    """

    def __init__(self, logits: Tensor, event_dims: int):
        batch_dims = logits.dim() - event_dims
        super().__init__(logits.shape[:batch_dims], logits.shape[batch_dims:])
        self.logits = logits

    @property
    def mean(self) -> Tensor:
        return self.logits.sigmoid()

    def elementwise_log_prob(self, value: Tensor) -> Tensor:
        return F.logsigmoid((2 * value - 1) * self.logits)  # log sigmoid(l) at 1, log sigmoid(-l) at 0

    def log_prob(self, value: Tensor) -> Tensor:
        logits = (1 - 2 * value) * self.logits  # of the opposite value
        return -sum_softplus(logits.flatten(logits.dim() - len(self.event_shape)))

    def pairwise_log_prob(self, z: Tensor) -> Tensor:
        """Computes x'l - sum_d log(1 + exp(l_d)) for a batch of S in one product: (N, *shape) -> (N, S)."""
        if len(self.batch_shape) != 1 or z.dim() != len(self.event_shape) + 1:
            return super().pairwise_log_prob(z)
        logits = self.logits.flatten(1)
        with full_precision(z):
            return multiply(z.flatten(1), logits.T, -sum_softplus(logits))

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            return torch.bernoulli(self.mean.expand(self.noise_shape(sample_shape)))
