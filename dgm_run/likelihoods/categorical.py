"""Grey levels as free categories."""

from collections.abc import Sequence

from torch import Tensor

from dgm_run.distributions.categorical import Categorical
from dgm_run.likelihoods.base import Likelihood


class CategoricalLikelihood(Likelihood):
    """A softmax over the grey levels of every element: nothing is assumed of neighbouring levels.

    Raises:
        ValueError: the data have no grey levels.
    """

    takes = ("levels", "binary")

    def __init__(self, shape: Sequence[int], num_levels: int | None):
        super().__init__(shape)
        if num_levels is None:
            raise ValueError("the data set has real values, not grey levels: use likelihood=gaussian")
        self.num_params = num_levels

    def forward(self, params: Tensor) -> Categorical:
        return Categorical(params, len(self.shape))
