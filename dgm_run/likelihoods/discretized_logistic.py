"""Likelihood of grey levels as bins of a logistic density."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dgm_run.distributions.discretized_logistic import DiscretizedLogistic
from dgm_run.likelihoods.levels import LevelLikelihood
from dgm_run.networks.bounded import add_floor

MIN_LOG_SCALE = -7.0
"""Log of the floor added to the scale, a quarter of one of 256 levels. Smaller scales only make gradients larger."""


class DiscretizedLogisticLikelihood(LevelLikelihood):
    """Logistic density in bins; the decoder gives the logit of the mean and the scale of each element.

    Args:
        shape: shape of one example.
        num_levels: grey levels of the data.
        log_scale: initial log-scale of the logistic, on the intensity axis [0, 1].

    Raises:
        ValueError: the data have no grey levels.
    """

    num_params = 2

    def __init__(self, shape: Sequence[int], num_levels: int | None, log_scale: float):
        super().__init__(shape, num_levels)
        self.log_scale = nn.Parameter(torch.tensor(float(log_scale)))

    def forward(self, params: Tensor) -> DiscretizedLogistic:
        mean_logit, log_factor = params.unbind(-len(self.shape) - 1)
        log_scale = add_floor(self.log_scale + log_factor, MIN_LOG_SCALE)
        return DiscretizedLogistic(mean_logit.sigmoid(), log_scale, self.num_levels, len(self.shape))
