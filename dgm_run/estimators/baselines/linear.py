"""Linear Gaussian baselines: independent columns, PPCA and factor analysis."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from dgm_run.data.data_split import DataSplit
from dgm_run.distributions.independent_gaussian import IndependentGaussian
from dgm_run.distributions.linear_gaussian import LinearGaussian
from dgm_run.errors import join_warnings
from dgm_run.estimators.base import Baseline, Estimate, Estimator, ProgressCallback, no_progress
from dgm_run.models.linear.factor_analysis import (
    AT_FLOOR,
    MIN_RELATIVE_SCALE,
    EMModel,
    Moments,
    describe_data,
    expectation_maximisation,
    mean_log_prob,
    resolve_floor,
)
from dgm_run.models.linear.ppca import PPCA, describe_shared_floor, maximum_likelihood, shared_floor
from dgm_run.networks.bounded import check_floor, describe_floor

BATCH_SIZE = 10_000
"""Examples at a time."""
INDEPENDENT = "independent_columns"
"""Name of the baseline without latent variables, which is no model."""


@dataclass(frozen=True)
class Fit:
    """A density fitted to the training data.

    Attributes:
        name: name of the family.
        density: density over flat examples, in double precision.
        warning: settings or data that the likelihood depends on; None for none.
    """

    name: str
    density: LinearGaussian | IndependentGaussian
    warning: str | None


@dataclass(frozen=True)
class LinearBaseline(Estimator[nn.Module]):
    """log p(x) of independent columns, of PPCA and of factor analysis, fitted to the training data.

    PPCA is in closed form. Factor analysis starts from the PPCA of the standardised columns, so that the units of the
    data do not matter. It goes on by expectation maximisation until a step gains less than `tolerance`. These fits take
    a second, and a decoder with Gaussian noise should beat them. Corrupted data get no rows, because their moments
    differ from those of the clean data. Data that are all equal get none either.

    Args:
        latent_dim: L.
        min_scale: the absolute part of the floor of the noise, a standard deviation in the units of the data.
        relative_min_scale: the part relative to the standard deviation of each column (`noise_floor`).
        tolerance: gain of a step at which the fit stops, nats per example.
        max_steps: largest number of steps of expectation maximisation.
        fits: the fitted densities, after `fit`.

    Raises:
        ValueError: a setting is not positive, or is no floor.
    """

    latent_dim: int
    min_scale: float
    relative_min_scale: float
    tolerance: float
    max_steps: int
    fits: tuple[Fit, ...] = ()

    takes = ("continuous",)
    takes_corrupted = True

    def __post_init__(self):
        self.require_positive("latent_dim", "tolerance", "max_steps")
        check_floor(self.min_scale, self.relative_min_scale)

    @torch.no_grad()
    def fit(
        self, model: nn.Module, train: DataSplit, valid: DataSplit, report: ProgressCallback = no_progress
    ) -> "LinearBaseline":
        if train.corrupt:
            return self
        data = Moments.from_batches(train.batches(BATCH_SIZE))
        # missing elements make the moments NaN; data that are all equal have no scale for a floor
        if not bool(data.covariance.isfinite().all()) or not (self.min_scale > 0 or bool((data.variance > 0).any())):
            return self
        return replace(self, fits=tuple(self._fit_all(data)))

    @property
    def _floor(self) -> tuple[float, float]:
        return self.min_scale, max(self.relative_min_scale, MIN_RELATIVE_SCALE)

    def _fit_all(self, data: Moments) -> list[Fit]:
        floor = resolve_floor(data.variance, *self._floor)
        log_var = torch.maximum(data.variance, floor.square()).log()
        fits = [self._describe_fit(INDEPENDENT, IndependentGaussian(data.mean, 0.5 * log_var, 1), floor, data)]
        latent_dim = min(self.latent_dim, len(data.mean) - 1)
        if latent_dim < 1:
            return fits
        shared = shared_floor(data.variance, *self._floor)
        ppca = maximum_likelihood(data, latent_dim, shared.square())
        return [
            *fits,
            self._describe_fit("ppca", ppca, shared, data),
            self._describe_fit("factor_analysis", self._fit_factor_analysis(data, latent_dim, floor), floor, data),
        ]

    def _fit_factor_analysis(self, data: Moments, latent_dim: int, floor: Tensor) -> LinearGaussian:
        scale = torch.where(data.variance > 0, data.variance.sqrt(), floor)
        standardised = data.scale_columns(1 / scale)
        min_variance = (floor / scale).square()
        ppca = maximum_likelihood(standardised, latent_dim, min_variance.min())
        p = LinearGaussian(ppca.weight, ppca.bias, torch.maximum(ppca.log_var, min_variance.log()))
        before = mean_log_prob(p, standardised)
        for _ in range(self.max_steps):
            p = expectation_maximisation(p, standardised, min_variance)
            after = mean_log_prob(p, standardised)
            if after - before < self.tolerance:
                break
            before = after
        return LinearGaussian(p.weight * scale.unsqueeze(-1), data.mean, p.log_var + 2 * scale.log())

    def _describe_fit(
        self, name: str, density: LinearGaussian | IndependentGaussian, floor: Tensor, data: Moments
    ) -> Fit:
        log_var = 2 * density.log_scale if isinstance(density, IndependentGaussian) else density.log_var
        num_at_floor = int((log_var - 2 * floor.log() < math.log1p(AT_FLOOR)).sum())
        if name == "ppca":
            at_floor = describe_shared_floor(num_at_floor > 0, data.variance, *self._floor)
        else:
            at_floor = describe_floor(num_at_floor, len(log_var), *self._floor)
        return Fit(name, density, join_warnings(at_floor, describe_data(data.variance, data.count)))

    @torch.no_grad()
    def __call__(self, model: nn.Module, data: DataSplit, report: ProgressCallback = no_progress) -> list[Estimate]:
        floor = {"min_scale": self.min_scale, "relative_min_scale": self.relative_min_scale}
        estimates = []
        for done, fit in enumerate(self.fits, 1):
            log_p = torch.cat([fit.density.log_prob(x.double().flatten(1)).cpu() for x in data.batches(BATCH_SIZE)])
            log_p = data.to_data_units(log_p)
            has_latent = fit.name != INDEPENDENT
            estimate = Estimate.over(
                log_p,
                fit.name,
                "linear_baseline",
                "exact",
                settings={"latent_dim": self.latent_dim, **floor} if has_latent else floor,
                diagnostics={"median": log_p.median().item()},
                warning=fit.warning,
                baseline=self._compare(model, fit.name, log_p, data.standardization is not None),
            )
            estimates.append(estimate)
            report(done, len(self.fits))
        return estimates

    def _compare(self, model: nn.Module, name: str, log_p: Tensor, is_standardized: bool) -> Baseline | None:
        """Returns the baseline to compare with; None for a model that has too few parameters to be as good."""
        if isinstance(model, PPCA) and name != "ppca":
            return None
        return Baseline(name, log_p, _advise(model, name, is_standardized))


def _advise(model: nn.Module, baseline: str, is_standardized: bool) -> str:
    """Returns what to try if the model is worse than a baseline; an optimum by EM has no learning rate."""
    parts = ["train longer"]
    if not isinstance(model, EMModel):
        parts.append("change optimizer.lr")
        if not is_standardized:
            parts.append("standardise the data (dataset.standardize=columns)")
        if baseline != INDEPENDENT:
            parts.append(f"take model={baseline}")
    return ", or ".join(parts)
