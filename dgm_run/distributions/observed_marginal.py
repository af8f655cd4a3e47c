"""Independent elements of which some are missing: NaN."""

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape


class ObservedMarginal(Distribution):
    """The marginal over the elements that are known: p(x_o | z) by p(x | z), where x is NaN at the others.

    Args:
        p: of independent elements.

    Raises:
        NotImplementedError: they are not independent.
    """

    def __init__(self, p: Distribution):
        super().__init__(p.batch_shape, p.event_shape)
        self.p = _independent(p)

    @property
    def mean(self) -> Tensor:
        return self.p.mean

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        """With nothing missing."""
        return self.p.sample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        missing = value.isnan()
        log_p = self.p.elementwise_log_prob(value.masked_fill(missing, 0.0))
        log_p = log_p.masked_fill(missing, 0.0)
        return log_p.flatten(log_p.dim() - len(self.event_shape)).sum(-1)


class ConditionalCompletion(Distribution):
    """p(x | x_o, z): the known elements of `seen` as they are, and p(x | z) at the others, which are NaN.

    Raises:
        NotImplementedError: the elements of p are not independent.
    """

    def __init__(self, p: Distribution, seen: Tensor):
        super().__init__(p.batch_shape, p.event_shape)
        self.p, self.seen = _independent(p), seen

    @property
    def mean(self) -> Tensor:
        return self._with_known(self.p.mean)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self._with_known(self.p.sample(sample_shape))

    def _with_known(self, x: Tensor) -> Tensor:
        return torch.where(self.seen.isnan(), x, self.seen)


def _independent(p: Distribution) -> Distribution:
    if type(p).elementwise_log_prob is Distribution.elementwise_log_prob:
        raise NotImplementedError(
            f"the elements of {type(p).__name__} are not independent: choose decoder=mlp, conv or resnet"
        )
    return p
