"""Log-odds of Kumaraswamy variables.

Source: P. Kumaraswamy, A generalized probability density function for double-bounded random processes, 1980; as an
approximate posterior: E. Nalisnick, P. Smyth, Stick-breaking variational autoencoders, 2017,
https://arxiv.org/abs/1605.06197.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape

ASYMPTOTIC_LOGIT = 40.0
"""Log-odds z beyond which 1 - v = exp(-z) and 1 - v^a = a (1 - v), to the last digit of double precision."""


class LogitKumaraswamy(Distribution):
    """z = logit(v), v with density a b v^(a - 1) (1 - v^a)^(b - 1) on (0, 1), for each dimension.

    a = 1 gives a Beta(1, b) variable. As log-odds, no sample falls on the ends of the interval.

    Args:
        a: (*batch, L), positive.
        b: (*batch, L), positive.
    """

    has_rsample = True

    def __init__(self, a: Tensor, b: Tensor):
        super().__init__(a.shape[:-1], a.shape[-1:])
        self.a = a
        self.b = b

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        noise = self.a.new_empty(self.noise_shape(sample_shape)).exponential_()  # -log u
        exponent = noise / self.b
        log_v = _log1mexp(exponent.clamp(max=ASYMPTOTIC_LOGIT)) / self.a  # v = (1 - u^(1/b))^(1/a)
        near = log_v - _log1mexp(-log_v)
        return torch.where(exponent < ASYMPTOTIC_LOGIT, near, exponent + self.a.log())

    def log_prob(self, value: Tensor) -> Tensor:
        log_v = -F.softplus(-value)
        log_rest = -F.softplus(value)
        near = _log1mexp(self.a * F.softplus(-value.clamp(max=ASYMPTOTIC_LOGIT)))
        log_tail = torch.where(value < ASYMPTOTIC_LOGIT, near, self.a.log() - value)  # log(1 - v^a)
        # log_rest = log(1 - v): the Jacobian v (1 - v) of the change to log-odds, times the 1 / v of v^(a - 1)
        log_p = self.a.log() + self.b.log() + self.a * log_v + (self.b - 1) * log_tail + log_rest
        return log_p.sum(-1)

    @property
    def exponential_tails(self) -> tuple[bool, ...]:
        return (True,) * self.event_shape[0]

    def map(self, function: Callable[[Tensor], Tensor]) -> "LogitKumaraswamy":
        return LogitKumaraswamy(function(self.a), function(self.b))


def _log1mexp(x: Tensor) -> Tensor:
    """Computes log(1 - exp(-x)) of positive x, exact at both ends."""
    x = x.clamp(min=torch.finfo(x.dtype).tiny)
    small = torch.log(-torch.expm1(-x.clamp(max=1.0)))
    return torch.where(x < 1.0, small, torch.log1p(-torch.exp(-x.clamp(min=1.0))))
