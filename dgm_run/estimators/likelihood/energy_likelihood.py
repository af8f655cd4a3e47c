"""Likelihood of an energy model, with a conservative estimate by reverse annealing and a baseline."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.errors import join_warnings
from dgm_run.estimators.base import (
    Baseline,
    Estimate,
    Estimator,
    Method,
    ProgressCallback,
    no_progress,
)
from dgm_run.estimators.baselines.independent_pixels import fit_independent_pixels
from dgm_run.estimators.intervals import NO_ERRORS, ComputingErrors, Margin, mean_and_stderr
from dgm_run.estimators.likelihood.doubling import double_until
from dgm_run.estimators.likelihood.partition import LogPartition, PartitionFunction
from dgm_run.estimators.likelihood.reverse_ais import RAISE
from dgm_run.estimators.likelihood.weights import (
    SamplingError,
    describe_heavy_tails,
    list_example_columns,
    sampling_diagnostics,
    sampling_error,
    weigh,
)
from dgm_run.estimators.units import convert_likelihood
from dgm_run.models.energy.base import UnnormalizedModel
from dgm_run.models.energy.binary_states import BinaryStates

MIN_GAIN = 0.002
"""Gain over the baseline, nats per pixel, below which a model has learned no more than the means of the pixels."""
ADVICE = "train longer, or change optimizer.lr"
ZERO_BIAS_ADVICE = ", or start the visible biases at the data means (model.visible_bias=logit_mean)"


@dataclass(frozen=True)
class EnergyLikelihood(Estimator[UnnormalizedModel]):
    """log p(x) = -F(x) - log Z, and the log-likelihood of independent pixels fitted to the training data.

    Where hidden units cannot be summed out, importance samples s of q(s | x) estimate -F(x) by log 1/S sum_s p(x | s)
    f(s) / q(s | x). Another row states the ELBO, the mean of the logs. It is a lower bound only where log Z is exact.

    All examples share the error of log Z, which is part of the stated error.

    Annealed importance sampling understates log Z on average, so that the likelihood is optimistic on average. Another
    row holds a conservative likelihood, lower by the gap to reverse annealing on a part of the examples. It is
    conservative for the annealed model, from which chains of as many temperatures draw. A model far from the annealed
    one can lie on either side. If the two differ by more than their errors, a warning says so. The stated interval then
    extends to the interval of the conservative likelihood.

    Args:
        partition: method for log Z.
        reverse_ais: method for the conservative likelihood where log Z is an estimate; null for none.
        num_samples: S for each example.
        max_batch_rows: examples, times samples, at a time.
        is_other_data: whether the data are others than those of the training.
        independent: independent pixels of such data; None for real values, or in the place of those of the model.

    Raises:
        ValueError: num_samples or max_batch_rows is not positive.
    """

    partition: PartitionFunction
    reverse_ais: RAISE | None
    num_samples: int
    max_batch_rows: int
    is_other_data: bool = False
    independent: Baseline | None = None

    requires = {"model": UnnormalizedModel}
    gives_log_likelihood = True

    def __post_init__(self):
        self.require_positive("num_samples", "max_batch_rows")

    def for_other_data(self, data: LoadedDataset) -> "EnergyLikelihood":
        return replace(self, is_other_data=True, independent=fit_independent_pixels(data))

    @torch.no_grad()
    def __call__(
        self, model: UnnormalizedModel, data: DataSplit, report: ProgressCallback = no_progress
    ) -> list[Estimate]:
        log_z = self.partition(model.energy, lambda done, total: report(done, 3 * total))
        columns = self._measure_examples(model, data, lambda done, total: report(total + done, 3 * total))
        log_p = columns["log_p"] - log_z.value
        margin = log_z.margin.scale(-1)
        sampling = sampling_error(columns, self.num_samples) if model.has_latent_states else None
        warnings = [log_z.warning]
        if sampling:
            advice = f"raise num_samples, now {self.num_samples}"
            warnings.append(describe_heavy_tails(sampling_diagnostics(columns, sampling), advice))
        rows = []
        if self.reverse_ais and log_z.method != "exact":

            def report_reverse(done: int, total: int) -> None:
                report(2 * total + done, 3 * total)

            draws = sampling.of_independent_samples if sampling else NO_ERRORS
            low, gap = self._estimate_conservative(model, data, log_p, log_z.value, draws, report_reverse)
            disagreement = gap.describe_disagreement(margin)
            low = replace(low, warning=join_warnings(disagreement, *warnings[1:]))
            if disagreement:
                warnings.insert(1, disagreement)
                margin = Margin(max(margin.below, gap.margin + gap.mean), max(margin.above, gap.margin - gap.mean))
            rows.append(low)
        if sampling:
            method = self._describe_sampling(columns, sampling, log_z, margin)
            rows.insert(0, self._estimate_elbo(columns, log_z, margin, method))
        else:
            method = _describe_partition(log_z, margin)
        baseline = self.independent
        if not self.is_other_data:
            baseline = Baseline("independent pixels", columns["baseline"], _advise(model))
            warnings.append(_describe_collapse(log_p, baseline, math.prod(data.x.shape[1:]), margin))
        numbers = self._list_example_columns(columns, margin)
        return [
            Estimate.over(log_p, "log_likelihood", warning=join_warnings(*warnings), example_columns=numbers, **method),
            *rows,
            *convert_likelihood(log_p, data, **method),
            _estimate_partition(log_z, margin, len(data)),
            *_list_baselines(baseline),
        ]

    def _list_example_columns(self, columns: dict[str, Tensor], margin: Margin) -> dict[str, Tensor]:
        """Returns the numbers of each example; the error of log Z is part of its standard error."""
        found = list_example_columns(columns, self.num_samples) if "level_variances" in columns else {}
        of_sampling = found.get("stderr", torch.zeros_like(columns["log_p"]))
        return found | {"stderr": (of_sampling.square() + margin.stderr**2).sqrt()}

    def _describe_sampling(
        self, columns: dict[str, Tensor], error: SamplingError, log_z: LogPartition, margin: Margin
    ) -> Method:
        """Returns the method of a likelihood whose hidden units are sampled, as fields of an `Estimate`."""
        return {
            "estimator": f"importance_sampling, {log_z.method}",
            "kind": "estimate",
            "errors": error.of_independent_samples._replace(common=margin),
            "settings": {"num_samples": self.num_samples, **log_z.settings},
            "diagnostics": {**sampling_diagnostics(columns, error), **log_z.diagnostics},
        }

    def _estimate_elbo(
        self, columns: dict[str, Tensor], log_z: LogPartition, margin: Margin, method: Method
    ) -> Estimate:
        elbo = columns["elbo"]
        stderr = math.sqrt(columns["elbo_variance"].mean().item() / self.num_samples / len(elbo))
        bound: Method = {
            **method,
            "estimator": f"monte_carlo, {log_z.method}",
            "kind": "lower_bound" if log_z.method == "exact" else "estimate",
            "errors": ComputingErrors(common=margin, draws=Margin.student(stderr)),
        }
        return Estimate.over(elbo - log_z.value, "elbo", **bound)

    def _measure_examples(
        self, model: UnnormalizedModel, data: DataSplit, report: ProgressCallback
    ) -> dict[str, Tensor]:
        """Returns columns of the examples, float64: those of `weigh`, the ELBO and the baseline, before log Z."""
        num_samples = self.num_samples if model.has_latent_states else 1

        def measure(x: Tensor) -> dict[str, Tensor]:
            log_w = model.log_weights(x, num_samples).double()
            return {
                **weigh(log_w),
                "elbo": log_w.mean(0),
                "elbo_variance": log_w.var(0, correction=min(1, num_samples - 1)),
                "baseline": model.log_baseline(x).double(),
            }

        columns = data.map_batches(max(1, self.max_batch_rows // num_samples), measure, report)
        columns = {name: values.cpu() for name, values in columns.items()}
        return columns | {name: data.to_data_units(columns[name]) for name in ("log_p", "elbo", "baseline")}

    def _estimate_conservative(
        self,
        model: UnnormalizedModel,
        data: DataSplit,
        log_p: Tensor,
        log_z: float,
        draws: ComputingErrors,
        report: ProgressCallback,
    ) -> tuple[Estimate, "Gap"]:
        """Estimates the log-likelihood less its gap to reverse annealing, where the error of log Z cancels.

        The gap is that of states s, one of p(s | x) for each example. It bounds the gap of x in expectation, by
        Jensen's inequality: log p(x) - log p'(x) <= E log p(s) / p'(s) for the annealed model p'.

        Args:
            model: model to evaluate.
            data: examples.
            log_p: log-likelihood of each example, (N,).
            log_z: log Z in it.
            draws: errors that sampling the hidden units adds to its mean.
            report: receives the progress.

        Returns:
            The estimate and the gap.
        """
        reverse_ais = self.reverse_ais
        assert reverse_ais is not None
        index = torch.linspace(0, len(data) - 1, min(len(data), reverse_ais.num_examples)).round().long()
        states = self._draw_states(model, data.batch(index.to(data.x.device)))
        energy = model.energy
        log_p_states = energy.log_unnormalized(states, energy.preactivations(states)).double() - log_z

        def measure(num_temperatures: int, report: ProgressCallback) -> Gap:
            path = replace(reverse_ais, num_temperatures=num_temperatures)
            gaps = (log_p_states - path(energy, states, report)).cpu()
            return Gap(*mean_and_stderr(gaps), len(index), num_temperatures)

        lengths = (reverse_ais.num_temperatures, reverse_ais.max_num_temperatures or 0)
        gap = double_until(lambda gap: gap.is_at_most(reverse_ais.target_gap), measure, *lengths, report)
        estimate = Estimate.over(
            log_p - gap.mean,
            quantity="log_likelihood_conservative",
            estimator="raise",
            kind="estimate",
            errors=draws._replace(common=Margin(gap.margin, gap.margin)),
            settings={"gap_examples": len(index), **reverse_ais.list_settings()},
            diagnostics={
                "raise_gap": gap.mean,
                "raise_gap_stderr": gap.stderr,
                "raise_temperatures": gap.num_temperatures,
            },
        )
        estimate = replace(estimate, values=None)  # no value belongs to a single example
        if gap.stderr is None:
            estimate = replace(estimate, stderr=None, interval=None, computing_interval=None)
        return estimate, gap

    def _draw_states(self, model: UnnormalizedModel, x: Tensor) -> Tensor:
        """Draws s of p(s | x), (B, *state_shape): one of the samples of q(s | x), chosen by its weight."""
        if not model.has_latent_states:
            return x
        blocks = []
        for block in x.split(max(1, self.max_batch_rows // self.num_samples)):
            states, log_ratio = model.draw(block, self.num_samples)
            energy = model.energy
            log_w = log_ratio + energy.log_unnormalized(states, energy.preactivations(states))
            chosen = log_w.view(self.num_samples, -1).T.softmax(-1).multinomial(1).squeeze(1)  # (B,)
            blocks.append(states[chosen * len(block) + torch.arange(len(block), device=x.device)])
        return torch.cat(blocks)


class Gap(NamedTuple):
    """Gap by which reverse annealing lies below the likelihood, over the same examples.

    Attributes:
        mean: mean gap, nats.
        stderr: its standard error; None for one example.
        num_examples: number of these examples.
        num_temperatures: length of the path of reverse annealing.
    """

    mean: float
    stderr: float | None
    num_examples: int
    num_temperatures: int

    @property
    def margin(self) -> float:
        """Half-width of its 95% interval; infinite for one example."""
        return math.inf if self.stderr is None else Margin.student(self.stderr, self.num_examples - 1).below

    def is_at_most(self, target: float | None) -> bool:
        """Returns whether the size of the gap, with its error, meets a target, if there is one.

        A single example has no error.
        """
        return target is None or abs(self.mean) + (0.0 if self.stderr is None else self.margin) <= target

    def describe_disagreement(self, of_log_p: Margin) -> str | None:
        """Warns where the gap exceeds the errors of both sides; `of_log_p` is the margin of the likelihood."""
        size = abs(self.mean)
        if not size > math.hypot(self.margin, of_log_p.below if self.mean > 0 else of_log_p.above):
            return None
        side = "below" if self.mean > 0 else "above"
        return (
            f"reverse annealing lies {size:.2f} ± {self.stderr:.2f} nats {side} annealed importance sampling, "
            "more than their errors: raise num_temperatures and max_num_temperatures of both"
        )


def _describe_partition(log_z: LogPartition, margin: Margin) -> Method:
    """Returns the method of a likelihood whose error is that of log Z, as fields of an `Estimate`."""
    return {
        "estimator": log_z.method,
        "kind": "exact" if log_z.method == "exact" else "estimate",
        "errors": ComputingErrors(common=margin),
        "settings": log_z.settings,
        "diagnostics": log_z.diagnostics,
    }


def _estimate_partition(log_z: LogPartition, margin: Margin, num_examples: int) -> Estimate:
    """Returns the row of log Z; `margin` is that of -log Z."""
    is_exact = log_z.method == "exact"
    interval = None if is_exact else margin.scale(-1).around(log_z.value)
    return Estimate(
        quantity="log_partition",
        estimator=log_z.method,
        kind="exact" if is_exact else "estimate",
        value=log_z.value,
        stderr=None if is_exact else margin.stderr,
        num_examples=num_examples,
        settings=log_z.settings,
        interval=interval,
        computing_interval=interval,
    )


def _list_baselines(baseline: Baseline | None) -> list[Estimate]:
    if baseline is None:
        return []
    return [Estimate.over(baseline.log_p, "baseline", "independent_pixels", "exact", baseline=baseline)]


def _advise(model: UnnormalizedModel) -> str:
    """Returns what to try where a model is no better than independent pixels."""
    starts_at_zero = isinstance(model, BinaryStates) and not model.is_mean_initialized
    return ADVICE + ZERO_BIAS_ADVICE if starts_at_zero else ADVICE


def _describe_collapse(log_p: Tensor, independent: Baseline, num_pixels: int, margin: Margin) -> str | None:
    """Warns of a model that gains nothing over independent pixels, wherever log Z lies in its interval."""
    if not (log_p - independent.log_p).mean() + margin.above < MIN_GAIN * num_pixels:
        return None
    return f"collapsed: no better than independent pixels ({independent.log_p.mean():.2f}); {independent.advice}"
