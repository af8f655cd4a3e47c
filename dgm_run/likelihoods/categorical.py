"""Grey levels as free categories."""

from collections.abc import Sequence

from torch import Tensor

from dgm_run.distributions.categorical import Categorical
from dgm_run.likelihoods.levels import LevelLikelihood


class CategoricalLikelihood(LevelLikelihood):
    """A softmax over the grey levels of every element: nothing is assumed of neighbouring levels."""

    def __init__(self, shape: Sequence[int], num_levels: int | None):
        super().__init__(shape, num_levels)
        self.num_params = self.num_levels

    def forward(self, params: Tensor) -> Categorical:
        return Categorical(params, len(self.shape))
