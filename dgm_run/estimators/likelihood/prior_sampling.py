"""log p(x) by draws from the prior that all examples share."""

from dataclasses import dataclass

import torch

from dgm_run.data.data_split import DataSplit
from dgm_run.distributed import process_group
from dgm_run.estimators.base import Estimate, Estimator, Method, ProgressCallback, no_progress
from dgm_run.estimators.likelihood.weights import (
    JACKKNIFE_GROUPS,
    SamplingError,
    StreamingWeights,
    describe_heavy_tails,
    extrapolate_bias,
    has_small_ess,
    jackknife_stderr,
    list_example_columns,
    sampling_diagnostics,
)
from dgm_run.estimators.units import convert_likelihood
from dgm_run.models.latent.density_network import DensityNetwork

MIN_EFFECTIVE_DRAWS = 5
"""Effective sample size of the median example below which the estimate is worthless."""


@dataclass(frozen=True)
class PriorSampling(Estimator[DensityNetwork]):
    """log 1/S sum_s p(x | z_s), z_s from the prior.

    A draw costs one row of the decoder and one product with all examples, so that many draws are cheap. Where the
    posterior is much narrower than the prior no draw hits it, and the number is low by many nats.

    Args:
        num_samples: S.
        max_batch_rows: draws, and examples, at a time.

    Raises:
        ValueError: a setting is not positive.
    """

    num_samples: int
    max_batch_rows: int

    requires = {"model": DensityNetwork}
    gives_log_likelihood = True

    def __post_init__(self):
        self.require_positive("num_samples", "max_batch_rows")

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
        error = estimate_shared_error(weights)
        diagnostics = sampling_diagnostics(columns, error)
        warning = None
        if has_small_ess(diagnostics, MIN_EFFECTIVE_DRAWS):
            warning = (
                f"only {diagnostics['ess_median']:.1f} of {self.num_samples:,} draws of the prior carry the weight of "
                "the median example, so the estimate is worthless: raise estimators.prior_sampling.num_samples, or "
                "take estimators=[ais_decoder]"
            )
        advice = "take more samples (estimators.prior_sampling.num_samples), or estimators=[ais_decoder]"
        log_p = data.to_data_units(columns["log_p"])
        method: Method = {
            "estimator": "prior_sampling",
            "kind": "estimate",
            "errors": error.of_shared_samples,
            "settings": {"num_samples": self.num_samples},
            "diagnostics": diagnostics,
        }
        return [
            Estimate.over(
                log_p,
                "log_likelihood",
                warning=warning or describe_heavy_tails(diagnostics, advice),
                example_columns=list_example_columns(columns, self.num_samples),
                **method,
            ),
            *convert_likelihood(log_p, data, **method),
        ]


def estimate_shared_error(weights: StreamingWeights) -> SamplingError:
    """Estimates the errors of the mean over examples from draws that all examples share."""
    num_groups = weights.num_groups
    if num_groups < 2:
        return SamplingError()
    levels = torch.stack([weights.level(1 << i).mean() for i in range(num_groups.bit_length())])
    bias = extrapolate_bias(levels[None].cpu(), weights.num_samples)
    return SamplingError(jackknife_stderr(weights.log_sums), bias, freedom=num_groups - 1)
