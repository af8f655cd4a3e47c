"""Likelihood of grey levels as unordered categories."""

from collections.abc import Sequence

from torch import Tensor

from dgm_run.distributions.categorical import Categorical
from dgm_run.likelihoods.levels import LevelLikelihood


class CategoricalLikelihood(LevelLikelihood):
    """Softmax over the grey levels of each element, without an assumption about neighbouring levels."""

    def __init__(self, shape: Sequence[int], num_levels: int | None):
        super().__init__(shape, num_levels)
        self.num_params = self.num_levels

    def forward(self, params: Tensor) -> Categorical:
        return Categorical(params, len(self.shape))
