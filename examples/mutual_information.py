"""An estimator of your own: the mutual information between examples and their latent variables.

Source: M. Hoffman, M. Johnson, ELBO surgery, 2016.

    dgm-run --config-dir conf 'estimators=[importance_sampling,mutual_information]'
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_run.data.dataset import DataSplit
from dgm_run.estimators.base import Estimate, Estimator, ProgressCallback, no_progress
from dgm_run.models.base import ContinuousLatentModel


@dataclass(frozen=True)
class MutualInformation(Estimator[ContinuousLatentModel]):
    """E log q(z | x) - log q(z), where q(z) is the mean of q(z | x') over the examples; at most log N.

    Args:
        num_samples: draws of z for each example.
        max_batch_rows: examples at a time.
    """

    num_samples: int
    max_batch_rows: int

    requires = {"model": ContinuousLatentModel}

    @torch.no_grad()
    def __call__(
        self, model: ContinuousLatentModel, data: DataSplit, report: ProgressCallback = no_progress
    ) -> list[Estimate]:
        q = model.infer(data.batch(slice(0, len(data))))

        def find(index: Tensor) -> dict[str, Tensor]:
            of_these = q.select(index)
            z, log_q = of_these.rsample_and_log_prob((self.num_samples,))
            log_aggregate = q.pairwise_log_prob(z).logsumexp(-1) - math.log(len(data))
            return {"information": (log_q - log_aggregate).double().mean(0)}

        blocks = torch.arange(len(data)).split(self.max_batch_rows)
        values = torch.cat([find(block)["information"] for block in blocks]).cpu()
        report(1, 1)
        settings = {"num_samples": self.num_samples, "num_aggregated": len(data)}
        return [Estimate.over(values, "mutual_information", "aggregate_posterior", "estimate", settings=settings)]
