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

ROWS = 1000
"""Samples, and examples, at a time."""

MISLEADS = (
    "misleads: a kernel density of samples falls short by many nats and ranks models in another order than their "
    "likelihoods do (Theis et al. 2016): use ais_decoder"
)


@dataclass(frozen=True)
class Parzen(Estimator[GenerativeModel]):
    """The log density of Gaussian kernels of one width around samples of the model.

    The width maximises the density of validation examples. Samples of a model with p(x | z) are its means, so that the
    kernel is its only noise. The interval holds the scatter of as many other samples with this width, but not the
    effect of more samples.

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
        if min(self.num_samples, self.num_valid, self.num_scales) < 1 or not 0 < self.min_scale <= self.max_scale:
            raise ValueError("num_samples, num_valid and num_scales must be positive, and 0 < min_scale <= max_scale")

    @torch.no_grad()
    def fit(
        self, model: GenerativeModel, train: DataSplit, valid: DataSplit, report: ProgressCallback = no_progress
    ) -> "Parzen":
        samples = self._draw(model)
        x = valid.batch(torch.randperm(len(valid))[: self.num_valid].to(valid.x.device))
        ends = math.log(self.min_scale), math.log(self.max_scale)
        scales = torch.linspace(*ends, self.num_scales, dtype=torch.float64).exp().tolist()
        found = []
        for scale in scales:
            found.append(torch.cat([weigh_kernels(samples, scale, rows).log_mean for rows in x.split(ROWS)]).mean())
            report(len(found), len(scales))
        return replace(self, scale=scales[found.index(max(found))])

    @torch.no_grad()
    def __call__(
        self, model: GenerativeModel, data: DataSplit, report: ProgressCallback = no_progress
    ) -> list[Estimate]:
        samples, scale = self._draw(model), self.scale
        assert scale is not None

        def find(x: Tensor) -> dict[str, Tensor]:
            weights = weigh_kernels(samples, scale, x)
            return {"log_p": weights.log_mean, "log_sums": weights.log_sums.T}

        rows = data.map_batches(ROWS, find, report)
        log_sums = rows["log_sums"].T
        stderr = jackknife_stderr(log_sums)
        of_samples = NO_MARGIN if stderr is None else Margin.student(stderr, len(log_sums) - 1)
        settings = {"num_samples": self.num_samples, "num_scales": self.num_scales}
        log_p = data.in_data_units(rows["log_p"].cpu())
        errors = ComputingErrors(common=of_samples)
        return [
            Estimate.over(
                *(log_p, "parzen", "parzen", "estimate", errors),
                settings=settings,
                diagnostics={"scale": scale},
                warning=MISLEADS,
            )
        ]

    def _draw(self, model: GenerativeModel) -> Tensor:
        """Draws samples, or means where the model has p(x | z), (S, *shape)."""
        sizes = [min(ROWS, self.num_samples - first) for first in range(0, self.num_samples, ROWS)]
        if isinstance(model, LatentVariableModel):
            return torch.cat([model.generate(n).mean for n in sizes])
        return torch.cat([model.sample(n) for n in sizes])


def weigh_kernels(samples: Tensor, scale: float, x: Tensor) -> StreamingWeights:
    """Returns the log densities of kernels around samples (S, *shape) at examples (N, *shape), as log weights."""
    weights = StreamingWeights(len(samples), len(x), x.device, JACKKNIFE_GROUPS)
    log_scale = samples.new_tensor(math.log(scale))
    for first in range(0, len(samples), ROWS):
        part = samples[first : first + ROWS]
        kernels = IndependentGaussian(part, log_scale, part.dim() - 1)
        weights.add(kernels.pairwise_log_prob(x).T, first)
    return weights
