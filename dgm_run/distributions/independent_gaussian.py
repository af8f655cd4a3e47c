"""Independent real-valued pixels with Gaussian noise."""

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape, full_precision
from dgm_run.distributions.diagonal_gaussian import LOG_2PI
from dgm_run.networks.products import multiply


class IndependentGaussian(Distribution):
    """N(x; mean, exp(2 log_scale)) over every element of an example of any shape.

    Args:
        mean: (*batch, *shape).
        log_scale: broadcasts against `mean`; a scalar shares one scale among all elements.
        event_dims: number of trailing dimensions that make one example.
    """

    has_rsample = True

    def __init__(self, mean: Tensor, log_scale: Tensor, event_dims: int):
        batch_dims = mean.dim() - event_dims
        super().__init__(mean.shape[:batch_dims], mean.shape[batch_dims:])
        self.loc = mean
        self.log_scale = log_scale

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return torch.exp(2 * self.log_scale).expand_as(self.loc)

    def elementwise_log_prob(self, value: Tensor) -> Tensor:
        squares = ((value - self.loc) * torch.exp(-self.log_scale)).square()
        return -0.5 * (squares + LOG_2PI) - self.log_scale

    def log_prob(self, value: Tensor) -> Tensor:
        centred = value - self.loc
        if self.log_scale.dim() == 0:  # scales the sum of squares once, which halves the work
            squares = self.sum_over_event(centred.square()) * torch.exp(-2 * self.log_scale)
            log_det = self.event_shape.numel() * self.log_scale
        else:
            squares = self.sum_over_event((centred * torch.exp(-self.log_scale)).square())
            log_det = self.sum_over_event(self.log_scale.expand_as(self.loc))
        return -0.5 * (squares + self.event_shape.numel() * LOG_2PI) - log_det

    def pairwise_log_prob(self, z: Tensor) -> Tensor:
        """Computes (N, *shape) -> (N, S) for a batch of S with shared scales, in one product."""
        event_dims = len(self.event_shape)
        if len(self.batch_shape) != 1 or self.log_scale.dim() > event_dims or z.dim() != event_dims + 1:
            return super().pairwise_log_prob(z)
        log_scale = self.log_scale.expand(self.event_shape).flatten()
        centre = self.loc.mean(0)  # expanding squares around it avoids cancellation
        inverse_scale = torch.exp(-log_scale)
        mean = (self.loc - centre).flatten(1) * inverse_scale  # (S, D)
        x = (z - centre).flatten(1) * inverse_scale  # (N, D)
        constant = -0.5 * (mean.square() + LOG_2PI).sum(-1) - log_scale.sum()  # (S,)
        with full_precision(z):
            return multiply(x, mean.T, constant) - 0.5 * x.square().sum(-1, keepdim=True)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        noise = torch.randn(self.noise_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self.log_scale.exp() * noise
