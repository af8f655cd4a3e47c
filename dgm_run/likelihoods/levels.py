"""Base of likelihoods of grey levels."""

from collections.abc import Sequence

from dgm_run.likelihoods.base import Likelihood


class LevelLikelihood(Likelihood):
    """Probability mass of each of `num_levels` grey levels.

    Binarised data have two levels, whatever their source had. A likelihood of more levels does not normalise over them.

    Args:
        shape: shape of one example.
        num_levels: grey levels of the data.

    Raises:
        ValueError: the data have no grey levels.
    """

    takes: tuple[str, ...] = ("levels", "binary")

    def __init__(self, shape: Sequence[int], num_levels: int | None):
        super().__init__(shape)
        if num_levels is None:
            raise ValueError("the data set has real values, not grey levels: use likelihood=gaussian")
        self.num_levels = num_levels
        if num_levels > 2:
            self.takes = ("levels",)
