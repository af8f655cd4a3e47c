"""The likelihood of an energy model, and what it has to be held against."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dgm_run.data.dataset import DataSplit
from dgm_run.estimators.base import Baseline, Estimate, Estimator, Method, ProgressCallback, no_progress
from dgm_run.estimators.intervals import ComputingErrors, Margin, combine, mean_and_stderr
from dgm_run.estimators.likelihood.partition import PartitionFunction
from dgm_run.estimators.likelihood.reverse_ais import RAISE
from dgm_run.estimators.likelihood.weights import (
    describe_heavy_tails,
    sampling_diagnostics,
    sampling_error,
    weigh,
)
from dgm_run.estimators.units import rate
from dgm_run.models.energy.base import UnnormalizedModel

COLLAPSED = 0.002
"""A model that gains fewer nats a pixel over the baseline has learned nothing but the means of the pixels."""
ADVICE = "train longer, start the visible biases at the data means, or change optimizer.lr"


@dataclass(frozen=True)
class EnergyLikelihood(Estimator[UnnormalizedModel]):
    """log p(x) = -F(x) - log Z, and the log-likelihood of independent pixels fitted to the training data.

    Where hidden units cannot be summed out, -F(x) is log 1/S sum_s p(x | s) f(s) / q(s | x), s from q(s | x), and
    the ELBO, the mean of the logs, stands beside it. It is a lower bound only as far as log Z is exact.

    The error of log Z is common to all examples, and part of the stated error.

    Annealed importance sampling understates log Z on average, so that the likelihood is optimistic on average. Beside
    it stands a conservative one: less the difference to reverse annealing, which is measured on a part of the examples.
    That is conservative for the annealed model, the one that chains of as many temperatures draw from. A model that is
    far from it can lie on either side. Where the two differ by more than their errors there is a warning, and the
    stated interval reaches to that of the other side.

    Args:
        partition: how log Z is found.
        reverse_ais: the other side where log Z is an estimate; null for none.
        num_samples: S for each example.
        max_batch_rows: examples, times samples, at a time.

    Raises:
        ValueError: num_samples or max_batch_rows is not positive.
    """

    partition: PartitionFunction
    reverse_ais: RAISE | None
    num_samples: int
    max_batch_rows: int

    requires = {"model": UnnormalizedModel}

    def __post_init__(self):
        if min(self.num_samples, self.max_batch_rows) < 1:
            raise ValueError("num_samples and max_batch_rows must be positive")

    @torch.no_grad()
    def __call__(
        self, model: UnnormalizedModel, data: DataSplit, report: ProgressCallback = no_progress
    ) -> list[Estimate]:
        log_z = self.partition(model.energy, lambda done, total: report(done, 3 * total))
        seen = self._observe(model, data, lambda done, total: report(total + done, 3 * total))
        log_p, independent = seen["log_p"] - log_z.value, seen["baseline"]
        exact = log_z.method == "exact"
        found, warnings, margin = [], [log_z.warning], log_z.margin.scale(-1)
        if self.reverse_ais and not exact:
            low, gap = self._conservative(model, data, log_p, lambda done, total: report(2 * total + done, 3 * total))
            disagreement = gap.describe_disagreement(margin)
            if disagreement:
                warnings.append(disagreement)
                low = replace(low, warning=disagreement)
                margin = Margin(max(margin.below, gap.margin + gap.mean), max(margin.above, gap.margin - gap.mean))
            found.append(low)
        method: Method = {
            "estimator": log_z.method,
            "kind": "exact" if exact and not model.inferred else "estimate",
            "errors": ComputingErrors(common=margin),
            "settings": log_z.settings,
            "diagnostics": log_z.diagnostics,
        }
        if model.inferred:
            error = sampling_error(seen, self.num_samples)
            drawn = sampling_diagnostics(seen, error)
            method["estimator"] = f"importance_sampling, {log_z.method}"
            method["settings"] = {"num_samples": self.num_samples, **log_z.settings}
            method["diagnostics"] = {**drawn, **log_z.diagnostics}
            of_draws = math.sqrt(seen["elbo_variance"].mean().item() / self.num_samples / len(data))
            bound: Method = {
                **method,
                "estimator": f"monte_carlo, {log_z.method}",
                "kind": "lower_bound" if exact else "estimate",
                "errors": ComputingErrors(common=margin, draws=Margin.student(of_draws)),
            }
            found.insert(0, Estimate.over(seen["elbo"] - log_z.value, "elbo", **bound))
            method["errors"] = error.of_independent_samples._replace(common=margin)
            warnings.append(describe_heavy_tails(drawn, f"raise num_samples, now {self.num_samples}"))
        warnings.append(_collapse(log_p, independent, math.prod(data.x.shape[1:]), margin))
        of_log_z = None if exact else margin.scale(-1).around(log_z.value)
        partition = Estimate(
            *("log_partition", log_z.method, "exact" if exact else "estimate", log_z.value),
            None if exact else margin.stderr, len(data),
            settings=log_z.settings, interval=of_log_z, computing_interval=of_log_z,
        )  # fmt: skip
        baseline = Baseline("independent pixels", independent, ADVICE)
        return [
            Estimate.over(log_p, "log_likelihood", warning="; ".join(filter(None, warnings)) or None, **method),
            *found,
            *rate(log_p, data, **method),
            partition,
            Estimate.over(independent, "baseline", "independent_pixels", "exact", baseline=baseline),
        ]

    def _observe(self, model: UnnormalizedModel, data: DataSplit, report: ProgressCallback) -> dict[str, Tensor]:
        """Values of each example, in float64: log f(x) with what its draws tell, a lower bound of it, the baseline."""
        num_samples = self.num_samples if model.inferred else 1

        def find(x: Tensor) -> dict[str, Tensor]:
            log_w = model.log_weights(x, num_samples).double()
            return {
                **weigh(log_w),
                "elbo": log_w.mean(0),
                "elbo_variance": log_w.var(0, correction=min(1, num_samples - 1)),
                "baseline": model.log_baseline(x).double(),
            }

        rows = data.map_batches(max(1, self.max_batch_rows // num_samples), find, report)
        densities = ("log_p", "elbo", "baseline")
        return {n: data.in_data_units(values.cpu()) if n in densities else values.cpu() for n, values in rows.items()}

    def _conservative(
        self, model: UnnormalizedModel, data: DataSplit, log_p: Tensor, report: ProgressCallback
    ) -> tuple[Estimate, "Gap"]:  # fmt: skip
        """The log-likelihood less its gap to reverse annealing, in which the error of log Z cancels; and the gap."""
        settings = self.reverse_ais
        assert settings is not None
        index = torch.linspace(0, len(data) - 1, min(len(data), settings.num_examples)).round().long()
        low = data.in_data_units(settings(model, data.batch(index.to(data.x.device)), report).cpu(), index)
        gap = Gap(*mean_and_stderr(log_p[index] - low), len(index))
        value, error = mean_and_stderr(log_p)
        found = value - gap.mean
        stderr = interval = computing_interval = None
        if error is not None and gap.stderr is not None:
            drawn = Margin(gap.margin, gap.margin)
            stderr, computing_interval = math.hypot(error, gap.stderr), drawn.around(found)
            interval = combine(Margin.student(error, len(data) - 1), drawn).around(found)
        return Estimate(
            *("log_likelihood_conservative", "raise", "estimate", found, stderr, len(data)),
            settings={"gap_examples": len(index), **_without_num_examples(settings)},
            diagnostics={"raise_gap": gap.mean, "raise_gap_stderr": gap.stderr},
            interval=interval,
            computing_interval=computing_interval,
        ), gap


def _without_num_examples(settings: RAISE) -> dict[str, Any]:
    """The settings but for the limit of the examples, beside which their actual number stands."""
    return {name: value for name, value in asdict(settings).items() if name != "num_examples"}


class Gap(NamedTuple):
    """How far reverse annealing lies below the likelihood, over the same examples.

    Attributes:
        mean: nats.
        stderr: its standard error; None of one example.
        num_examples: that it was measured on.
    """

    mean: float
    stderr: float | None
    num_examples: int

    @property
    def margin(self) -> float:
        """Half of its 95% interval; infinite of one example."""
        return math.inf if self.stderr is None else Margin.student(self.stderr, self.num_examples - 1).below

    def describe_disagreement(self, of_log_p: Margin) -> str | None:
        """Says that the gap exceeds the errors of both sides, if it does; `of_log_p` is that of the likelihood."""
        size = abs(self.mean)
        if not size > math.hypot(self.margin, of_log_p.below if self.mean > 0 else of_log_p.above):
            return None
        side = "below" if self.mean > 0 else "above"
        return (
            f"reverse annealing lies {size:.2f} ± {self.stderr:.2f} nats {side} annealed importance sampling, "
            "more than their errors: raise num_temperatures of both"
        )


def _collapse(log_p: Tensor, independent: Tensor, num_pixels: int, margin: Margin) -> str | None:
    """Warns of a model that gains nothing over independent pixels, wherever log Z may lie in its interval."""
    if not (log_p - independent).mean() + margin.above < COLLAPSED * num_pixels:
        return None
    return f"collapsed: no better than independent pixels ({independent.mean():.2f}); {ADVICE}"
