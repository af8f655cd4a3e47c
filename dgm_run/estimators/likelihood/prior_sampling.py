"""log p(x) by draws of the prior, which serve all examples."""

from dataclasses import dataclass

import torch

from dgm_run.data.dataset import DataSplit
from dgm_run.distributed import process_group
from dgm_run.estimators.base import Estimate, Estimator, Method, ProgressCallback, no_progress
from dgm_run.estimators.likelihood.weights import (
    JACKKNIFE_GROUPS,
    SamplingError,
    StreamingWeights,
    describe_heavy_tails,
    extrapolate_bias,
    has_fewer,
    jackknife_stderr,
    sampling_diagnostics,
)
from dgm_run.estimators.units import rate
from dgm_run.models.latent.density_network import DensityNetwork

FEW = 5
"""Draws that the median example rests on, below which the estimate is worth nothing."""


@dataclass(frozen=True)
class PriorSampling(Estimator[DensityNetwork]):
    """log 1/S sum_s p(x | z_s), z_s from the prior.

    A draw costs one row of the decoder and one product with all examples, so that many can be taken. Where the
    posterior is much narrower than the prior none of them hits it, and the number is low by many nats.

    Args:
        num_samples: S.
        max_batch_rows: draws, and examples, at a time.

    Raises:
        ValueError: a setting is not positive.
    """

    num_samples: int
    max_batch_rows: int

    requires = {"model": DensityNetwork}

    def __post_init__(self):
        if min(self.num_samples, self.max_batch_rows) < 1:
            raise ValueError("num_samples and max_batch_rows must be positive")

    @torch.no_grad()
    def __call__(
        self, model: DensityNetwork, data: DataSplit, report: ProgressCallback = no_progress
    ) -> list[Estimate]:
        weights = StreamingWeights(self.num_samples, len(data), data.x.device, JACKKNIFE_GROUPS)
        p = model.latent_prior()

        def draw(block: slice) -> None:
            p_x = model.decode(p.sample((block.stop - block.start,)))
            log_w = torch.cat([p_x.pairwise_log_prob(x).T for x in data.batches(self.max_batch_rows)], 1)
            weights.add(log_w, block.start)

        process_group.for_each_block(process_group.new_stream(), self.num_samples, self.max_batch_rows, draw, report)
        weights.join()
        columns = {name: values.cpu() for name, values in weights.columns().items()}
        error = shared_error(weights)
        seen = sampling_diagnostics(columns, error)
        few = None
        if has_fewer(seen, FEW):
            few = (
                f"the median example rests on {seen['ess_median']:.1f} of {self.num_samples:,} draws of the prior: the "
                "estimate is worthless: raise estimators.prior_sampling.num_samples, or take estimators=[ais_decoder]"
            )
        advice = "take more samples (estimators.prior_sampling.num_samples), or estimators=[ais_decoder]"
        log_p = data.in_data_units(columns["log_p"])
        method: Method = {
            "estimator": "prior_sampling",
            "kind": "estimate",
            "errors": error.of_shared_samples,
            "settings": {"num_samples": self.num_samples},
            "diagnostics": seen,
        }
        return [
            Estimate.over(log_p, "log_likelihood", warning=few or describe_heavy_tails(seen, advice), **method),
            *rate(log_p, data, **method),
        ]


def shared_error(weights: StreamingWeights) -> SamplingError:
    """Estimates the errors of the mean over examples by draws that all of them share."""
    num_groups = weights.num_groups
    if num_groups < 2:
        return SamplingError()
    levels = torch.stack([weights.level(1 << i).mean() for i in range(num_groups.bit_length())])
    bias = extrapolate_bias(levels[None].cpu(), weights.num_samples)
    return SamplingError(jackknife_stderr(weights.log_sums), bias, freedom=num_groups - 1)
