"""The likelihood of an energy model, and what it has to be held against."""

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from dgm_run.data.dataset import Examples
from dgm_run.estimators.base import Baseline, Estimate, Estimator, Kind, Report, silent
from dgm_run.estimators.intervals import mean_and_stderr
from dgm_run.estimators.partition import PartitionFunction
from dgm_run.estimators.rate import rate
from dgm_run.estimators.reverse_ais import RAISE
from dgm_run.models.base import effective_sample_size, log_mean_exp
from dgm_run.models.energy import UnnormalizedModel

COLLAPSED = 0.002
"""A model that gains fewer nats a pixel over the baseline has learned nothing but the means of the pixels."""
ADVICE = "train longer, start the visible biases at the data means, or change optimizer.lr"


@dataclass(frozen=True)
class EnergyLikelihood(Estimator):
    """log p(x) = -F(x) - log Z, and the log-likelihood of independent pixels fitted to the training data.

    Where hidden units cannot be summed out, -F(x) is log 1/S sum_s p(x | s) f(s) / q(s | x), s from q(s | x), and
    the ELBO, the mean of the logs, stands beside it. It is a lower bound only as far as log Z is exact.

    Annealed importance sampling understates log Z, so that the likelihood is optimistic. The conservative one
    beside it is that less the difference to reverse annealing, which is measured on a part of the examples.

    Args:
        partition: how log Z is found.
        conservative: the other side where log Z is an estimate; null for none.
        num_samples: S for each example.
        max_rows: examples, times samples, at a time.

    Raises:
        ValueError: num_samples or max_rows is not positive.
    """

    partition: PartitionFunction
    conservative: RAISE | None
    num_samples: int
    max_rows: int

    requires = {"model": UnnormalizedModel}

    def __post_init__(self):
        if min(self.num_samples, self.max_rows) < 1:
            raise ValueError("num_samples and max_rows must be positive")

    @torch.no_grad()
    def __call__(self, model: UnnormalizedModel, data: Examples, report: Report = silent) -> list[Estimate]:
        log_z = self.partition(model.energy, lambda done, total: report(done, 3 * total))
        seen = self._observe(model, data, lambda done, total: report(total + done, 3 * total))
        log_p, independent = seen["log_f"] - log_z.value, seen["baseline"]

        exact = log_z.method == "exact"
        method = {"estimator": log_z.method, "settings": log_z.settings, "diagnostics": log_z.diagnostics}
        method["kind"] = "exact" if exact and not model.inferred else "estimate"
        rows = []
        if model.inferred:
            method["estimator"] = f"importance_sampling, {log_z.method}"
            method["settings"] = {"num_samples": self.num_samples, **log_z.settings}
            method["diagnostics"] = {"ess_median": seen["ess"].median().item(), **log_z.diagnostics}
            bound = method | {
                "kind": "lower_bound" if exact else "estimate",
                "estimator": f"monte_carlo, {log_z.method}",
            }
            rows.append(_estimate("elbo", seen["elbo"] - log_z.value, **bound))
        if self.conservative and not exact:
            rows.append(self._conservative(model, data, log_p, lambda done, total: report(2 * total + done, 3 * total)))
        num_pixels = math.prod(data.x.shape[1:])
        kind = "exact" if exact else "estimate"
        baseline = Baseline("independent pixels", independent, ADVICE)
        warning = "; ".join(filter(None, (log_z.warning, _collapse(log_p, independent, num_pixels)))) or None
        return [
            _estimate("log_likelihood", log_p, warning=warning, **method),
            *rows,
            *rate(log_p, data, **method),
            Estimate("log_partition", log_z.method, kind, log_z.value, None, len(data), settings=log_z.settings),
            _estimate("baseline", independent, estimator="independent_pixels", kind="exact", baseline=baseline),
        ]

    def _observe(self, model: UnnormalizedModel, data: Examples, report: Report) -> dict[str, Tensor]:
        """One value for each example, in float64: log f(x), a lower bound of it, effective sample size, baseline."""
        num_samples = self.num_samples if model.inferred else 1

        def find(x: Tensor) -> dict[str, Tensor]:
            log_w = model.log_weights(x, num_samples).double()
            return {
                "log_f": log_mean_exp(log_w),
                "elbo": log_w.mean(0),
                "ess": effective_sample_size(log_w),
                "baseline": model.log_baseline(x).double(),
            }

        rows = data.rows(max(1, self.max_rows // num_samples), find, report)
        densities = ("log_f", "elbo", "baseline")
        return {n: data.in_data_units(values.cpu()) if n in densities else values.cpu() for n, values in rows.items()}

    def _conservative(self, model: UnnormalizedModel, data: Examples, log_p: Tensor, report: Report) -> Estimate:
        settings = self.conservative
        index = torch.linspace(0, len(data) - 1, min(len(data), settings.num_examples)).round().long()
        low = data.in_data_units(settings(model, data.batch(index.to(data.x.device)), report).cpu(), index)
        gap, gap_error = mean_and_stderr(log_p[index] - low)
        value, error = mean_and_stderr(log_p)
        return Estimate(
            "log_likelihood_low",
            "raise",
            "estimate",
            value - gap,
            math.hypot(error or 0.0, gap_error or 0.0),
            len(data),
            settings=asdict(settings),
            diagnostics={"raise_gap": gap, "raise_gap_stderr": gap_error or 0.0},
            warning=_crossed(gap, gap_error),
        )


def _estimate(quantity: str, values: Tensor, estimator: str, kind: Kind, **more) -> Estimate:
    return Estimate.over(values, quantity, estimator, kind, **more)


def _crossed(gap: float, gap_error: float | None) -> str | None:
    if gap >= -3 * (gap_error or 0.0):
        return None
    return "it lies above the optimistic side, so neither is to be trusted: take more temperatures"


def _collapse(log_p: Tensor, independent: Tensor, num_pixels: int) -> str | None:
    if (log_p - independent).mean() >= COLLAPSED * num_pixels:
        return None
    return f"collapsed: no better than independent pixels ({independent.mean():.2f}); {ADVICE}"
