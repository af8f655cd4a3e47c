"""The pseudo-likelihood of binary energy models, for comparison with those who report it.

Source: J. Besag, Statistical analysis of non-lattice data, 1975.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from dgm_run.data.dataset import Examples
from dgm_run.estimators.base import Estimate, Estimator, Report, mean_and_stderr, silent
from dgm_run.models.energy import BinaryEnergyModel, flip_one


@dataclass(frozen=True)
class PseudoLikelihood(Estimator):
    """sum_d log p(x_d | all other pixels), by `num_flips` random pixels of every example; without bias.

    It needs no Z, and is no likelihood: it may rank models otherwise than log p(x).

    Args:
        num_flips: pixels of each example.
        max_rows: examples at a time.

    Raises:
        ValueError: a setting is not positive.
    """

    num_flips: int
    max_rows: int

    requires = {"model": BinaryEnergyModel}

    def __post_init__(self):
        if min(self.num_flips, self.max_rows) < 1:
            raise ValueError("num_flips and max_rows must be positive")

    @torch.no_grad()
    def __call__(self, model: BinaryEnergyModel, data: Examples, report: Report = silent) -> list[Estimate]:
        values = []
        for i, x in enumerate(data.batches(self.max_rows)):
            free_energy = model.free_energy(x)
            logs = [F.logsigmoid(model.free_energy(flip_one(x)) - free_energy) for _ in range(self.num_flips)]
            values.append(x[0].numel() * torch.stack(logs).double().mean(0).cpu())
            report(i * self.max_rows + len(x), len(data))
        settings = {"num_flips": self.num_flips}
        return [
            Estimate("pseudo_likelihood", "random_pixels", "estimate", *mean_and_stderr(torch.cat(values)), len(data),
                     settings=settings)
        ]  # fmt: skip
