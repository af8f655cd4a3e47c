"""The likelihood of an energy model, and what it has to be held against."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_run.data.dataset import Examples
from dgm_run.estimators.base import Estimate, Estimator, Report, mean_and_stderr, silent
from dgm_run.estimators.partition import PartitionFunction
from dgm_run.models.energy import EnergyModel

COLLAPSED = 0.01
"""A model that gains less than this part of the baseline has learned nothing but the means of the pixels."""


@dataclass(frozen=True)
class EnergyLikelihood(Estimator):
    """log p(x) = -F(x) - log Z, and the log-likelihood of independent pixels with the means of the training data.

    Args:
        partition: how log Z is found.
        max_rows: examples at a time.

    Raises:
        ValueError: max_rows is not positive.
    """

    partition: PartitionFunction
    max_rows: int

    requires = {"model": EnergyModel}

    def __post_init__(self):
        if self.max_rows < 1:
            raise ValueError("max_rows must be positive")

    @torch.no_grad()
    def __call__(self, model: EnergyModel, data: Examples, report: Report = silent) -> list[Estimate]:
        log_z = self.partition(model, report)
        free_energy, baseline = [], []
        for start in range(0, len(data), self.max_rows):
            x = data.batch(slice(start, start + self.max_rows))
            free_energy.append(model.free_energy(x).double().cpu())
            baseline.append(model.log_baseline(x).double().cpu())
        log_p, independent = -torch.cat(free_energy) - log_z.value, torch.cat(baseline)

        exact = log_z.method == "exact"
        found = {"kind": "exact" if exact else "estimate", "settings": log_z.settings, "num_examples": len(data)}
        bits = -(log_p / math.prod(data.x.shape[1:]) + data.log_bin_width) / math.log(2)
        return [
            _estimate("log_likelihood", log_z.method, log_p, **found, diagnostics=log_z.diagnostics,
                      warning=_collapse(log_p, independent)),
            _estimate("bits_per_dim", log_z.method, bits, **found, unit="bits"),
            Estimate("log_partition", log_z.method, found["kind"], log_z.value, None, len(data)),
            _estimate("baseline", "independent_pixels", independent, kind="exact", num_examples=len(data)),
        ]  # fmt: skip


def _estimate(quantity: str, estimator: str, values: Tensor, **more) -> Estimate:
    value, stderr = mean_and_stderr(values)
    return Estimate(quantity, estimator, value=value, stderr=stderr, **more)


def _collapse(log_p: Tensor, independent: Tensor) -> str | None:
    gain, baseline = (log_p - independent).mean().item(), independent.mean().item()
    if gain >= COLLAPSED * abs(baseline):
        return None
    return (
        f"collapsed: no better than independent pixels ({baseline:.2f}); "
        "start the visible biases at the data means, or lower optimizer.lr"
    )
