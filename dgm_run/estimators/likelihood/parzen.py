"""Parzen windows: log p(x) under a kernel density of samples, for comparison with old papers.

Sources: O. Breuleux et al., Quickly generating representative samples from an RBM-derived process, 2011; I. Goodfellow
et al., Generative adversarial networks, 2014, https://arxiv.org/abs/1406.2661; L. Theis et al., A note on the
evaluation of generative models, 2016, https://arxiv.org/abs/1511.01844 (reasons against it).
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dgm_run.data.data_split import DataSplit
from dgm_run.distributions.independent_gaussian import IndependentGaussian
from dgm_run.estimators.base import Estimate, Estimator, ProgressCallback, no_progress
from dgm_run.estimators.intervals import NO_MARGIN, ComputingErrors, Margin
from dgm_run.estimators.likelihood.weights import JACKKNIFE_GROUPS, StreamingWeights, jackknife_stderr
from dgm_run.models.base import GenerativeModel, LatentVariableModel

BATCH_SIZE = 1000
"""Samples, and examples, at a time."""

WARNING = (
    "misleads: a kernel density of samples falls short by many nats and ranks models in another order than their "
    "likelihoods do (Theis et al. 2016): use ais_decoder"
)


@dataclass(frozen=True)
class Parzen(Estimator[GenerativeModel]):
    """The log density of Gaussian kernels of one width around samples of the model.

    The width maximises the density of validation examples. A model with p(x | z) gives its means as samples, so that
    the kernel is the only noise. The interval covers the density of other samples, as many and with this width. It does
    not cover the effect of more samples.

    Args:
        num_samples: number of samples of the model.
        num_valid: number of validation examples that choose the width, drawn at random; fewer where there are fewer.
        min_scale: the smallest width tried, a standard deviation in units of the data.
        max_scale: the largest width tried.
        num_scales: number of widths, from the smallest to the largest by equal factors.
        scale: the chosen width, after `fit`.

    Raises:
        ValueError: a number is not positive, or the range is reversed.
    """

    num_samples: int
    num_valid: int
    min_scale: float
    max_scale: float
    num_scales: int
    scale: float | None = None

    takes = ("continuous",)

    def __post_init__(self):
        self.require_positive("num_samples", "num_valid", "num_scales", "min_scale")
        if not self.min_scale <= self.max_scale:
            raise ValueError(f"min_scale = {self.min_scale} must not exceed max_scale = {self.max_scale}")

    @torch.no_grad()
    def fit(
        self, model: GenerativeModel, train: DataSplit, valid: DataSplit, report: ProgressCallback = no_progress
    ) -> "Parzen":
        samples = self._draw(model)
        x = valid.batch(torch.randperm(len(valid))[: self.num_valid].to(valid.x.device))
        log_scales = torch.linspace(
            math.log(self.min_scale), math.log(self.max_scale), self.num_scales, dtype=torch.float64
        )
        scales = log_scales.exp().tolist()
        means = []
        for scale in scales:
            log_p = [weigh_kernels(samples, scale, rows).log_mean for rows in x.split(BATCH_SIZE)]
            means.append(torch.cat(log_p).mean())
            report(len(means), len(scales))
        return replace(self, scale=scales[means.index(max(means))])

    @torch.no_grad()
    def __call__(
        self, model: GenerativeModel, data: DataSplit, report: ProgressCallback = no_progress
    ) -> list[Estimate]:
        scale = self.scale
        assert scale is not None
        samples = self._draw(model)

        def weigh(x: Tensor) -> dict[str, Tensor]:
            weights = weigh_kernels(samples, scale, x)
            return {"log_p": weights.log_mean, "log_sums": weights.log_sums.T}

        columns = data.map_batches(BATCH_SIZE, weigh, report)
        log_sums = columns["log_sums"].T
        stderr = jackknife_stderr(log_sums)
        margin = NO_MARGIN if stderr is None else Margin.student(stderr, len(log_sums) - 1)
        return [
            Estimate.over(
                data.to_data_units(columns["log_p"].cpu()),
                quantity="parzen",
                estimator="parzen",
                kind="estimate",
                errors=ComputingErrors(common=margin),  # all examples share the samples
                settings={"num_samples": self.num_samples, "num_scales": self.num_scales},
                diagnostics={"scale": scale},
                warning=WARNING,
            )
        ]

    def _draw(self, model: GenerativeModel) -> Tensor:
        """Draws samples, or means where the model has p(x | z), (S, *shape)."""
        sizes = [min(BATCH_SIZE, self.num_samples - first) for first in range(0, self.num_samples, BATCH_SIZE)]
        if isinstance(model, LatentVariableModel):
            return torch.cat([model.generate(n).mean for n in sizes])
        return torch.cat([model.sample(n) for n in sizes])


def weigh_kernels(samples: Tensor, scale: float, x: Tensor) -> StreamingWeights:
    """Returns the log densities of kernels around samples (S, *shape) at examples (N, *shape), as log weights."""
    weights = StreamingWeights(len(samples), len(x), x.device, JACKKNIFE_GROUPS)
    log_scale = samples.new_tensor(math.log(scale))
    for first in range(0, len(samples), BATCH_SIZE):
        part = samples[first : first + BATCH_SIZE]
        kernels = IndependentGaussian(part, log_scale, part.dim() - 1)
        weights.add(kernels.pairwise_log_prob(x).T, first)
    return weights
