"""The pseudo-likelihood of binary energy models, for comparison with papers that report it.

Source: J. Besag, Statistical analysis of non-lattice data, 1975.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.data.data_split import DataSplit
from dgm_run.estimators.base import Estimate, Estimator, ProgressCallback, no_progress
from dgm_run.estimators.intervals import NO_ERRORS, ComputingErrors, Margin
from dgm_run.models.energy.binary_states import BinaryEnergyModel, flip, flip_one


@dataclass(frozen=True)
class PseudoLikelihood(Estimator[BinaryEnergyModel]):
    """sum_d log p(x_d | all other pixels), over all pixels, or an unbiased estimate from random pixels.

    It needs no Z, and is no likelihood: it may rank models in another order than log p(x).

    Args:
        num_flips: number of random pixels of each example; null for all pixels.
        max_batch_rows: examples at a time.

    Raises:
        ValueError: a setting is not positive.
    """

    num_flips: int | None
    max_batch_rows: int

    requires = {"model": BinaryEnergyModel}

    def __post_init__(self):
        self.require_positive("max_batch_rows")
        if self.num_flips is not None:
            self.require_positive("num_flips")

    @torch.no_grad()
    def __call__(
        self, model: BinaryEnergyModel, data: DataSplit, report: ProgressCallback = no_progress
    ) -> list[Estimate]:
        rows = data.map_batches(self.max_batch_rows, lambda x: self._sum_conditionals(model, x), report)
        log_p = rows["log_p"].cpu()
        if not self.num_flips:
            return [Estimate.over(log_p, "pseudo_likelihood", "all_pixels", "exact")]
        errors = NO_ERRORS
        if len(log_p) > 1:
            # from a single pixel of each example no variance follows: the one over the examples is an upper bound
            variance = rows["square"].cpu().mean().item() if self.num_flips > 1 else log_p.var().item()
            errors = ComputingErrors(draws=Margin.student(math.sqrt(variance / len(log_p))))
        settings = {"num_flips": self.num_flips}
        return [Estimate.over(log_p, "pseudo_likelihood", "random_pixels", "estimate", errors, settings=settings)]

    def _sum_conditionals(self, model: BinaryEnergyModel, x: Tensor) -> dict[str, Tensor]:
        """Returns the sum of each example, (B,), float64, and its squared standard error from the choice of pixels."""
        num_pixels = x[0].numel()
        free_energy = model.free_energy(x)
        total = torch.zeros_like(free_energy, dtype=torch.float64)
        squares = torch.zeros_like(total)
        for pixel in range(self.num_flips or num_pixels):
            flipped = flip_one(x) if self.num_flips else flip(x, torch.full((len(x), 1), pixel, device=x.device))
            log_p = F.logsigmoid(model.free_energy(flipped) - free_energy).double()
            total += log_p
            squares += log_p.square()
        if not self.num_flips:
            return {"log_p": total, "square": squares}
        num = self.num_flips
        factor = num_pixels / self.num_flips
        square = (squares - total.square() / num).clamp(min=0) * num / max(1, num - 1)  # of the sum
        return {"log_p": factor * total, "square": factor**2 * square}
