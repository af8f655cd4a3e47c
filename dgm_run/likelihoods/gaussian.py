"""Real-valued pixels with Gaussian noise."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dgm_run.distributions.independent_gaussian import IndependentGaussian
from dgm_run.likelihoods.base import Likelihood
from dgm_run.networks.bounded import with_floor


class GaussianLikelihood(Likelihood):
    """N(x; mean, scale^2) for every element. A density: of discrete values it would have no upper bound.

    Args:
        shape: of one example.
        scale: standard deviation at the start, in the units of the data.
        learn_scale: no (fixed) | shared (one for all elements) | element (one each) | predicted (by the decoder).
        min_scale: added to a learned scale; without a floor a density of constant pixels grows without bound.
        squash: whether means go through a sigmoid, for intensities in [0, 1].

    Raises:
        ValueError: a scale is not positive, or starts below its floor.
    """

    takes = ("continuous",)

    def __init__(
        self,
        shape: Sequence[int],
        scale: float,
        learn_scale: Literal["no", "shared", "element", "predicted"],
        min_scale: float,
        squash: bool,
    ):
        super().__init__(shape)
        self.squash = squash
        if not scale > min_scale >= 0:
            raise ValueError(f"scale = {scale} must lie above min_scale = {min_scale} >= 0")
        self.min_scale, self.is_stationary = min_scale, learn_scale != "element"
        self.num_params = 2 if learn_scale == "predicted" else 1
        start = torch.full(self.shape if learn_scale == "element" else (), math.log(scale - min_scale))
        if learn_scale in ("shared", "element"):
            self.log_scale = nn.Parameter(start)
        else:
            self.register_buffer("log_scale", start)

    def forward(self, params: Tensor) -> IndependentGaussian:
        mean, *rest = params.unbind(-len(self.shape) - 1)
        mean = mean.sigmoid() if self.squash else mean
        log_scale = self.log_scale + rest[0] if rest else self.log_scale
        if self.min_scale > 0:
            log_scale = with_floor(log_scale, math.log(self.min_scale))
        return IndependentGaussian(mean, log_scale, len(self.shape))
