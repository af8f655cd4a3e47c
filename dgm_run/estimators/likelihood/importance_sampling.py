"""log p(x) of a latent-variable model by importance sampling from q(z | x).

Source: D. J. Rezende et al., Stochastic backpropagation, 2014, https://arxiv.org/abs/1401.4082 (appendix E);
Y. Burda et al., Importance weighted autoencoders, 2016, https://arxiv.org/abs/1509.00519.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributions.base import Distribution
from dgm_run.errors import join_warnings
from dgm_run.estimators.base import Estimate, Estimator, FineProgress, Kind, Method, ProgressCallback, no_progress
from dgm_run.estimators.likelihood.proposals import (
    Proposal,
    check_density,
    choose_prior_draws,
    has_lighter_tails,
    weigh_defensive_samples,
)
from dgm_run.estimators.likelihood.weights import (
    SamplingError,
    StreamingWeights,
    describe_heavy_tails,
    has_small_ess,
    list_example_columns,
    sampling_diagnostics,
    sampling_error,
)
from dgm_run.estimators.units import convert_likelihood
from dgm_run.models.base import LatentVariableModel

ACTIVE_VARIANCE = 0.01
"""Var_x E_q[z | x] above which a latent dimension is active (Burda et al. 2016, section 5.2)."""
MIN_KL = 0.2
"""KL in nats below which z holds almost no information about x."""

_COLLAPSED = "the posterior has collapsed, z holds almost no information about x: try objective.warmup_epochs"
_INFINITE_VARIANCE = (
    "the weights have infinite variance, as the prior has exponential tails and the proposal Gaussian ones: set "
    "estimators.importance_sampling.proposal=defensive, or choose posterior=kumaraswamy with model=vae or hvae"
)


class RunningMean:
    """Mean and variance over samples that arrive in chunks, (S', B) at a time, in float64."""

    def __init__(self):
        self.count = 0
        self.shift: Tensor | None = None  # near the mean, so that the difference of squares keeps its digits
        self.sum = self.sum_squares = torch.zeros((), dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        """Adds the values of more samples, (S', B)."""
        if not len(values):
            return
        values = values.double()
        if self.shift is None:
            self.shift = values[0].masked_fill(~values[0].isfinite(), 0.0)
        self.count += len(values)
        self.sum = self.sum + (values - self.shift).sum(0)
        self.sum_squares = self.sum_squares + (values - self.shift).square().sum(0)

    @property
    def mean(self) -> Tensor:
        """Mean over the samples, (B,)."""
        assert self.shift is not None
        return self.shift + self.sum / self.count

    @property
    def variance_of_mean(self) -> Tensor:
        """Variance of the mean, (B,); NaN for a single sample."""
        centred_squares = self.sum_squares - self.sum.square() / self.count
        if self.count < 2:
            return torch.nan * centred_squares
        return centred_squares.clamp(min=0) / (self.count - 1) / self.count


@dataclass(frozen=True)
class ImportanceSampling(Estimator[LatentVariableModel]):
    """log 1/S sum_s p(x, z_s) / q(z_s | x), the ELBO, its two terms and the number of active units.

    The expectation of the estimate lies below log p(x) and rises with S, so every row states S. The interval reaches
    further up by an estimate of that bias. An effective sample size near one means that a single draw carries the
    weight. Then the estimate of the bias is unreliable too.

    Args:
        num_samples: S for each example.
        max_batch_rows: decoder rows at a time, which bounds the memory for any S.
        proposal: posterior | defensive (mixed with the prior, for a posterior that misses a mode).
        prior_weight: share of the prior in the defensive proposal.

    Raises:
        ValueError: a setting is out of its range.
    """

    num_samples: int
    max_batch_rows: int
    proposal: Proposal
    prior_weight: float

    requires = {"model": LatentVariableModel}
    takes_corrupted = True
    gives_log_likelihood = True

    def __post_init__(self):
        self.require_positive("num_samples", "max_batch_rows")
        if not 0 < self.prior_weight <= 0.5:
            raise ValueError(f"prior_weight = {self.prior_weight} must lie above 0 and be at most 0.5")
        if self.proposal == "defensive" and self.num_samples * self.prior_weight < 1:
            raise ValueError(
                f"num_samples = {self.num_samples} has no draw of the prior at prior_weight = {self.prior_weight}: "
                f"take {math.ceil(1 / self.prior_weight)} samples or more, or proposal=posterior"
            )

    @torch.no_grad()
    def check(self, model: LatentVariableModel, data: LoadedDataset) -> None:
        if self.proposal == "defensive":
            check_density(model.infer(data.train.batch(slice(0, 1))).proposal(), model.latent_prior())

    @torch.no_grad()
    def __call__(
        self, model: LatentVariableModel, data: DataSplit, report: ProgressCallback = no_progress
    ) -> list[Estimate]:
        p = model.latent_prior()  # outside the loop: a VampPrior encodes its pseudo-inputs here
        settings: dict[str, Any] = {"num_samples": self.num_samples}
        progress = FineProgress(report, len(data), self.num_samples)
        has_infinite_variance = False

        def evaluate(x: Tensor) -> dict[str, Tensor]:
            nonlocal has_infinite_variance
            inferred = model.infer(x)
            settings.update(inferred.proposal_settings)
            q = inferred.proposal()
            has_infinite_variance = self.proposal == "posterior" and has_lighter_tails(q, p)
            return self._evaluate(model, x, q, p, progress)

        columns = data.map_batches(min(self.max_batch_rows, 100), evaluate, progress)
        if self.proposal == "defensive":
            base = settings.get("proposal", "posterior")
            settings["proposal"] = f"defensive, {base} with {self.prior_weight:g} of the prior"
        columns = {name: values.cpu() for name, values in columns.items()}
        return self._summarize(columns, data, settings, _INFINITE_VARIANCE if has_infinite_variance else None)

    def _evaluate(
        self,
        model: LatentVariableModel,
        x: Tensor,
        q: Distribution,
        p: Distribution,
        progress: FineProgress,
    ) -> dict[str, Tensor]:
        weights = StreamingWeights(self.num_samples, len(x), x.device)
        means = {name: RunningMean() for name in ("elbo", "reconstruction", "kl")}
        if self.proposal == "defensive":
            from_prior = choose_prior_draws(self.num_samples, self.prior_weight, x.device)
        chunk = max(1, self.max_batch_rows // len(x))
        for first in range(0, self.num_samples, chunk):
            end = min(first + chunk, self.num_samples)
            if self.proposal == "defensive":
                log_w, terms = weigh_defensive_samples(model, x, q, p, self.prior_weight, from_prior[first:end])
            else:
                terms = model.evaluate_terms(x, q, p, end - first)
                log_w = terms.log_w
            weights.add(log_w, first)
            means["elbo"].add(terms.log_w)
            means["reconstruction"].add(terms.log_px)
            means["kl"].add(terms.log_qz.double() - terms.log_pz.double())
            progress.report_parts(len(x), end)
        first_mean, second_mean = q.independent_mean_estimates()
        return {
            **weights.columns(),
            **{name: each.mean for name, each in means.items()},
            **{f"{name}_variance": each.variance_of_mean for name, each in means.items()},
            "first_mean": first_mean.double(),
            "second_mean": second_mean.double(),
        }

    def _summarize(
        self, columns: dict[str, Tensor], data: DataSplit, settings: dict[str, Any], variance_warning: str | None
    ) -> list[Estimate]:
        n = len(data)
        error = sampling_error(columns, self.num_samples)
        columns |= {name: data.to_data_units(columns[name]) for name in ("log_p", "elbo", "reconstruction")}
        diagnostics = sampling_diagnostics(columns, error)

        def estimate(quantity: str, kind: Kind, **more) -> Estimate:
            stderr = columns[f"{quantity}_variance"].mean().item() ** 0.5 / n**0.5  # NaN for one sample
            sampling = SamplingError(stderr if math.isfinite(stderr) else None, freedom=max(1, n - 1))
            errors = sampling.of_independent_samples
            return Estimate.over(columns[quantity], quantity, "monte_carlo", kind, errors, settings=settings, **more)

        is_collapsed = columns["kl"].mean().item() < MIN_KL
        method: Method = {
            "estimator": "importance_sampling",
            "kind": "estimate",
            "errors": error.of_independent_samples,
            "settings": settings,
            "diagnostics": diagnostics,
        }
        warning = join_warnings(self._describe_doubt(diagnostics, error), variance_warning)
        return [
            Estimate.over(
                columns["log_p"],
                "log_likelihood",
                warning=warning,
                example_columns=list_example_columns(columns, self.num_samples),
                **method,
            ),
            *convert_likelihood(columns["log_p"], data, **method),
            estimate("elbo", "lower_bound"),
            estimate("reconstruction", "estimate"),
            estimate("kl", "estimate", warning=_COLLAPSED if is_collapsed else None),
            _count_active_units(columns["first_mean"], columns["second_mean"]),
        ]

    def _describe_doubt(self, diagnostics: dict[str, float | None], error: SamplingError) -> str | None:
        """Describes weights whose estimate may be far too low; None where they are well spread."""
        advice = "take more samples (estimators.importance_sampling.num_samples)"
        if self.proposal == "posterior":
            advice += ", or estimators.importance_sampling.proposal=defensive"
        if has_small_ess(diagnostics, 2):
            bias = "unknown" if error.bias is None else "unreliable"
            return f"a single draw carries the weight of the median example, so the bias is {bias}: {advice}"
        if error.bias is None:
            return f"few samples of an example have a finite weight, so the bias is unknown: {advice}"
        return describe_heavy_tails(diagnostics, advice)


def _count_active_units(first_mean: Tensor, second_mean: Tensor) -> Estimate:
    """Counts the latent dimensions whose posterior mean varies over the examples by more than `ACTIVE_VARIANCE`.

    The variance is a covariance of two independent estimates of the mean: that of one would include the noise of its
    samples.

    Args:
        first_mean, second_mean: posterior means, (N, L), equal where they are exact.
    """
    n = len(first_mean)
    covariance = ((first_mean - first_mean.mean(0)) * (second_mean - second_mean.mean(0))).sum(0) / max(n - 1, 1)
    return Estimate(
        quantity="active_units",
        estimator="posterior_means",
        kind="estimate",
        value=float((covariance > ACTIVE_VARIANCE).sum()),
        stderr=None,
        num_examples=n,
        unit=f"of {len(covariance)}",
        settings={"min_variance": ACTIVE_VARIANCE},
    )
