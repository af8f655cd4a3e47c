"""What linear models reach on the same data."""

from dataclasses import dataclass, replace

import torch
from torch import nn

from dgm_run.data.dataset import Examples
from dgm_run.distributions.linear_gaussian import LinearGaussian
from dgm_run.estimators.base import Estimate, Estimator, Report, mean_and_stderr, silent
from dgm_run.models.factor_analysis import Moments, expectation_maximisation, mean_log_prob
from dgm_run.models.ppca import maximum_likelihood

ROWS = 10_000
"""Examples at a time."""


@dataclass(frozen=True)
class LinearBaseline(Estimator):
    """log p(x) of PPCA and of factor analysis with as many latent dimensions, fitted to the training data.

    PPCA is in closed form; factor analysis goes on from there by expectation maximisation until a step gains less
    than `tolerance`. What a decoder with Gaussian noise is worth shows against these: they take a second. Of corrupted
    data, whose moments are not those of what is behind, it says nothing.

    Args:
        latent_dim: k.
        min_scale: floor of the standard deviation of the noise.
        tolerance: nats of an example.
        max_steps: of expectation maximisation, at most.
        fits: name and density of each, once `fitted`.

    Raises:
        ValueError: a setting is not positive.
    """

    latent_dim: int
    min_scale: float
    tolerance: float
    max_steps: int
    fits: tuple[tuple[str, LinearGaussian], ...] = ()

    takes = ("continuous",)
    takes_corrupted = True

    def __post_init__(self):
        if not min(self.latent_dim, self.min_scale, self.tolerance, self.max_steps) > 0:
            raise ValueError("latent_dim, min_scale, tolerance and max_steps must be positive")

    @torch.no_grad()
    def fitted(self, model: nn.Module, train: Examples, valid: Examples, report: Report = silent) -> "LinearBaseline":
        if train.corrupt:
            return self
        data = Moments.of(train.batches(ROWS))
        latent_dim = min(self.latent_dim, len(data.mean) - 1)
        best = ppca = maximum_likelihood(data, latent_dim, self.min_scale**2)
        before = mean_log_prob(best, data)
        for _ in range(self.max_steps):
            best = expectation_maximisation(best, data, lambda variances: variances, self.min_scale**2)
            now = mean_log_prob(best, data)
            if now - before < self.tolerance:
                break
            before = now
        return replace(self, fits=(("ppca", ppca), ("factor_analysis", best)))

    @torch.no_grad()
    def __call__(self, model: nn.Module, data: Examples, report: Report = silent) -> list[Estimate]:
        settings = {"latent_dim": self.latent_dim, "min_scale": self.min_scale}
        found = []
        for done, (name, density) in enumerate(self.fits, 1):
            log_p = torch.cat([density.log_prob(x.double().flatten(1)).cpu() for x in data.batches(ROWS)])
            log_p = data.in_data_units(log_p)
            estimate = Estimate(name, "linear_baseline", "exact", *mean_and_stderr(log_p), len(data), settings=settings)
            found.append(replace(estimate, diagnostics={"median": log_p.median().item()}))
            report(done, len(self.fits))
        return found
