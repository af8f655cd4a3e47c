"""Exact log p(x) of models that have it in closed form."""

from dataclasses import dataclass

import torch

from dgm_run.data.data_split import DataSplit
from dgm_run.estimators.base import Estimate, Estimator, ProgressCallback, no_progress
from dgm_run.estimators.units import convert_likelihood
from dgm_run.models.base import ExactModel


@dataclass(frozen=True)
class ExactLikelihood(Estimator[ExactModel]):
    """The mean of log p(x), and the bits per dimension.

    The diagnostics hold the median: a pixel that hardly ever changes may let a few examples dominate the mean.

    Args:
        max_batch_rows: examples at a time.

    Raises:
        ValueError: `max_batch_rows` is not positive.
    """

    max_batch_rows: int

    requires = {"model": ExactModel}
    takes_corrupted = True
    gives_log_likelihood = True

    def __post_init__(self):
        self.require_positive("max_batch_rows")

    @torch.no_grad()
    def __call__(self, model: ExactModel, data: DataSplit, report: ProgressCallback = no_progress) -> list[Estimate]:
        columns = data.map_batches(self.max_batch_rows, lambda x: {"log_p": model.log_prob(x).double()}, report)
        log_p = data.to_data_units(columns["log_p"].cpu())
        diagnostics = {"median": log_p.median().item()}
        return [
            Estimate.over(log_p, "log_likelihood", "exact", "exact", diagnostics=diagnostics),
            *convert_likelihood(log_p, data, "exact", "exact"),
        ]
