"""A normalizing flow of the library zuko, which has an exact log-likelihood."""

from typing import Any

import zuko
from torch import Tensor, nn


class ZukoFlow(nn.Module):
    """Density of a zuko flow.

    Args:
        flow: the flow, whose call returns the distribution.
    """

    def __init__(self, flow: Any):
        super().__init__()
        self.flow = flow

    def log_prob(self, x: Tensor) -> Tensor:
        return self.flow().log_prob(x)

    def sample(self, n: int) -> Tensor:
        return self.flow().sample((n,))


def make(features: int = 2, transforms: int = 3) -> ZukoFlow:
    """Makes a neural spline flow, with random weights."""
    return ZukoFlow(zuko.flows.NSF(features, transforms=transforms, hidden_features=(64, 64)))
