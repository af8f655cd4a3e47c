"""The pseudo-likelihood of binary energy models, for comparison with those who report it.

Source: J. Besag, Statistical analysis of non-lattice data, 1975.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.data.dataset import Examples
from dgm_run.estimators.base import Estimate, Estimator, Report, silent
from dgm_run.estimators.intervals import mean_and_stderr
from dgm_run.models.binary_states import BinaryEnergyModel, flip, flip_one


@dataclass(frozen=True)
class PseudoLikelihood(Estimator):
    """sum_d log p(x_d | all other pixels), by all pixels of every example, or without bias by some, drawn at random.

    It needs no Z, and is no likelihood: it may rank models otherwise than log p(x).

    Args:
        num_flips: pixels of each example, drawn at random; null for all of them.
        max_rows: examples at a time.

    Raises:
        ValueError: a setting is not positive.
    """

    num_flips: int | None
    max_rows: int

    requires = {"model": BinaryEnergyModel}

    def __post_init__(self):
        if self.max_rows < 1 or (self.num_flips is not None and self.num_flips < 1):
            raise ValueError("num_flips and max_rows must be positive")

    @torch.no_grad()
    def __call__(self, model: BinaryEnergyModel, data: Examples, report: Report = silent) -> list[Estimate]:
        rows = data.rows(self.max_rows, lambda x: {"log_p": self._of(model, x)}, report)
        return [
            Estimate(
                "pseudo_likelihood",
                "random_pixels" if self.num_flips else "all_pixels",
                "estimate" if self.num_flips else "exact",
                *mean_and_stderr(rows["log_p"].cpu()),
                len(data),
                settings={"num_flips": self.num_flips} if self.num_flips else {},
            )
        ]

    def _of(self, model: BinaryEnergyModel, x: Tensor) -> Tensor:
        """One value for each example, (B,), in float64."""
        num_pixels, free_energy = x[0].numel(), model.free_energy(x)
        total = torch.zeros_like(free_energy, dtype=torch.float64)
        for pixel in range(self.num_flips or num_pixels):
            flipped = flip_one(x) if self.num_flips else flip(x, torch.full((len(x), 1), pixel, device=x.device))
            total += F.logsigmoid(model.free_energy(flipped) - free_energy)
        return total * (num_pixels / self.num_flips) if self.num_flips else total
