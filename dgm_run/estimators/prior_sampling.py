"""log p(x) by draws of the prior, which serve all examples."""

from dataclasses import dataclass

import torch

from dgm_run import parallel
from dgm_run.data.dataset import Examples
from dgm_run.estimators.base import Estimate, Estimator, Report, silent
from dgm_run.estimators.importance_sampling import StreamingWeights
from dgm_run.estimators.rate import rate
from dgm_run.models.density_network import DensityNetwork

FEW = 5
"""Draws that the median example rests on, below which the estimate is worth nothing."""


@dataclass(frozen=True)
class PriorSampling(Estimator):
    """log 1/S sum_s p(x | z_s), z_s from the prior.

    A draw costs one row of the decoder and one product with all examples, so that many can be taken. Where the
    posterior is much narrower than the prior none of them hits it, and the number is low by many nats.

    Args:
        num_samples: S.
        max_rows: draws, and examples, at a time.

    Raises:
        ValueError: a setting is not positive.
    """

    num_samples: int
    max_rows: int

    requires = {"model": DensityNetwork}

    def __post_init__(self):
        if min(self.num_samples, self.max_rows) < 1:
            raise ValueError("num_samples and max_rows must be positive")

    @torch.no_grad()
    def __call__(self, model: DensityNetwork, data: Examples, report: Report = silent) -> list[Estimate]:
        weights, p = StreamingWeights(len(data), data.x.device), model.latent_prior()

        def draw(block: slice) -> None:
            p_x = model.decode(p.sample((block.stop - block.start,)))
            weights.add(torch.cat([p_x.pairwise_log_prob(x).T for x in data.batches(self.max_rows)], 1))

        parallel.each_block(parallel.new_stream(), self.num_samples, self.max_rows, draw, report)
        weights.join()
        log_p, seen = data.in_data_units(weights.log_mean.cpu()), weights.diagnostics()
        few = None
        if seen["ess_median"] < FEW:
            few = (
                f"the median example rests on {seen['ess_median']:.1f} of {self.num_samples:,} draws of the prior: the "
                "estimate is worthless, and low by an unknown amount"
            )
        shared = {"settings": {"num_samples": self.num_samples}, "diagnostics": seen}
        common = ("prior_sampling", "estimate")
        return [
            Estimate.over(log_p, "log_likelihood", *common, warning=few, **shared),
            *rate(log_p, data, *common, **shared),
        ]
