"""Grey levels under a logistic density cut into bins."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dgm_run.distributions.discretized_logistic import DiscretizedLogistic
from dgm_run.likelihoods.base import Likelihood


class DiscretizedLogisticLikelihood(Likelihood):
    """The decoder gives the mean, as a logit, and the scale of every element.

    Args:
        shape: of one example.
        num_levels: grey levels of the data.
        log_scale: of the logistic at the start, on the intensity axis [0, 1].

    Raises:
        ValueError: the data have no grey levels.
    """

    takes = ("levels", "binary")
    num_params = 2

    def __init__(self, shape: Sequence[int], num_levels: int | None, log_scale: float):
        super().__init__(shape)
        if num_levels is None:
            raise ValueError("the data set has real values, not grey levels: use likelihood=gaussian")
        self.num_levels = num_levels
        self.log_scale = nn.Parameter(torch.tensor(float(log_scale)))

    def forward(self, params: Tensor) -> DiscretizedLogistic:
        mean, log_scale = params.unbind(-len(self.shape) - 1)
        return DiscretizedLogistic(mean.sigmoid(), self.log_scale + log_scale, self.num_levels, len(self.shape))
