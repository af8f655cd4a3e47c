"""Likelihood of real-valued pixels with Gaussian noise."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dgm_run.distributions.independent_gaussian import IndependentGaussian
from dgm_run.likelihoods.base import Likelihood
from dgm_run.networks.bounded import add_floor, check_floor, column_variance, describe_floor, noise_floor

AT_FLOOR = 0.01
"""Excess of a scale over its floor, relative to the floor, below which it counts as at its floor."""


class GaussianLikelihood(Likelihood):
    """N(x; mean, scale^2) for every element. For discrete values this density would have no upper bound.

    A learned scale has an additive floor, because the density of constant pixels would be unbounded. The floor of an
    element is min_scale + relative_min_scale * its standard deviation in the training data (`noise_floor`). A shared
    scale has the lowest of these floors.

    Args:
        shape: shape of one example.
        scale: initial standard deviation, in the units of the data.
        learn_scale: no (fixed) | shared (one for all elements) | element (one each) | predicted (by the decoder).
        min_scale: absolute part of the floor, in the units of the data.
        relative_min_scale: relative part of the floor.
        squash: whether means go through a sigmoid, for intensities in [0, 1].

    Attributes:
        log_floor: log of a learned scale's floor, (*shape), or () of a shared one. Before `initialize` it is the floor
            of elements with a standard deviation of one.

    Raises:
        ValueError: a scale is not positive, or starts below the absolute part of its floor.
    """

    log_floor: Tensor
    log_scale: Tensor
    takes = ("continuous",)

    def __init__(
        self,
        shape: Sequence[int],
        scale: float,
        learn_scale: Literal["no", "shared", "element", "predicted"],
        min_scale: float,
        relative_min_scale: float,
        squash: bool,
    ):
        super().__init__(shape)
        self.squash = squash
        if not scale > min_scale >= 0:
            raise ValueError(f"scale = {scale} must lie above min_scale = {min_scale} >= 0")
        check_floor(min_scale, relative_min_scale)
        self.scale = scale
        self.learn_scale = learn_scale
        self.min_scale = min_scale
        self.relative_min_scale = relative_min_scale
        self.is_stationary = learn_scale != "element"
        self.num_params = 2 if learn_scale == "predicted" else 1
        log_scale = torch.zeros(self.shape if learn_scale == "element" else ())
        if learn_scale in ("shared", "element"):
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)
        floor_shape = self.shape if learn_scale in ("element", "predicted") else ()
        self.register_buffer("log_floor", torch.zeros(floor_shape))
        self._set_floor(torch.ones(math.prod(self.shape), dtype=torch.float64))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Sets the floor of a learned scale from training examples, (B, *shape)."""
        if self.learn_scale != "no" and self.relative_min_scale > 0:
            self._set_floor(column_variance(x))

    @torch.no_grad()
    def _set_floor(self, variance: Tensor) -> None:
        """Sets the floor from the variances of the elements, (D,), and the initial scale above it."""
        if self.learn_scale == "no":
            self.log_scale.fill_(math.log(self.scale))
            return
        floor = noise_floor(variance, self.min_scale, self.relative_min_scale)
        floor = floor.min() if self.learn_scale == "shared" else floor.view(self.shape)
        self.log_floor.copy_(floor.log())
        # the total, floor + excess, starts at `scale`, or higher where the floor itself exceeds `scale`
        excess = torch.where(floor < self.scale, self.scale - floor, self.scale)
        self.log_scale.copy_(excess.log() if self.log_scale.dim() else excess.amin().log())

    @property
    def likelihood_warning(self) -> str | None:
        """Warning about learned scales at their floor; None where there are none, or where a decoder predicts them."""
        if self.learn_scale not in ("shared", "element"):
            return None
        at_floor = self.log_scale.detach() - self.log_floor < math.log(AT_FLOOR)
        return describe_floor(int(at_floor.sum()), at_floor.numel(), self.min_scale, self.relative_min_scale)

    def forward(self, params: Tensor) -> IndependentGaussian:
        mean, *log_factors = params.unbind(-len(self.shape) - 1)
        mean = mean.sigmoid() if self.squash else mean
        log_scale = self.log_scale + log_factors[0] if self.learn_scale == "predicted" else self.log_scale
        if self.learn_scale != "no":
            log_scale = add_floor(log_scale, self.log_floor)
        return IndependentGaussian(mean, log_scale, len(self.shape))
