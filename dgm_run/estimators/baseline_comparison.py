"""Comparison of a model with baselines: warns where the model is worse."""

import math
from collections.abc import Sequence
from dataclasses import replace

from dgm_run.errors import join_warnings
from dgm_run.estimators.base import Baseline, Estimate
from dgm_run.estimators.intervals import NO_MARGIN, NORMAL_QUANTILE, Margin, mean_and_stderr

STANDARD_ERRORS = 2
"""Number of standard errors, combined with the margin of computing, that the gap of a worse model exceeds."""
MIN_GAP = 0.01
"""Nats an example that the gap of a worse model exceeds: two fits of one family always differ a little."""


def has_likelihood_without_baseline(estimates: Sequence[Estimate]) -> bool:
    """Returns whether the estimates hold a likelihood of the model and no baseline."""
    has_likelihood = any(each.quantity in ("log_likelihood", "elbo") for each in estimates)
    return has_likelihood and not any(each.baseline for each in estimates)


def warn_if_worse(
    estimates: Sequence[Estimate], unreported: Baseline | None = None, advice: str | None = None
) -> list[Estimate]:  # fmt: skip
    """Adds a warning to each likelihood of the model that lies below the best baseline.

    The difference is paired where both have a value for every example. The row of the log-likelihood gets the
    warning, or that of the ELBO where there is no log-likelihood. For sentences the row of the perplexity gets it.

    Args:
        estimates: all estimates on one split, in the units of `Estimate`.
        unreported: a baseline that has no row.
        advice: words in the place of the advice of the baselines; None for theirs.
    """
    baselines = [each for each in estimates if each.baseline]
    if unreported:
        baselines.append(Estimate.over(unreported.log_p, "baseline", unreported.name, "exact", baseline=unreported))
    if not baselines:
        return list(estimates)
    models = [each for each in estimates if not each.baseline]
    likelihoods = [each for each in models if each.quantity == "log_likelihood"]
    likelihoods = likelihoods or [each for each in models if each.quantity == "elbo"]
    warnings: dict[int, str] = {}
    for likelihood in likelihoods:
        warning = _describe_worse(likelihood, baselines, advice)
        if warning:
            warnings[id(_select_row(likelihood, models, baselines))] = warning
    return [_add_warning(each, warnings[id(each)]) if id(each) in warnings else each for each in estimates]


def _describe_worse(likelihood: Estimate, baselines: Sequence[Estimate], advice: str | None) -> str | None:
    pairs = [(each, each.baseline) for each in baselines if each.baseline]
    row, baseline = max(pairs, key=lambda pair: float(pair[1].log_p.mean()))  # the best baseline
    gap, stderr = _subtract(likelihood, baseline)
    if stderr is None:  # a single example, or a value that is not finite, of which other warnings speak
        return None
    computing = _computing_margin(likelihood)
    margin = math.hypot(STANDARD_ERRORS * stderr, computing.above)
    if likelihood.values is None and likelihood.interval:  # it reaches up by a bias that no other field states
        margin = max(margin, likelihood.interval[1] - likelihood.value)
    if not gap > max(margin, MIN_GAP):
        return None
    stderr = math.hypot(stderr, min(computing) / NORMAL_QUANTILE)  # one side alone has the bias
    value = f"perplexity {row.value:.2f}" if row.quantity == "perplexity" else f"{row.value:.2f}"
    name = f"{baseline.name} ({value})"
    advice = advice or baseline.advice
    by = f"{_format_nats(gap)} ± {_format_nats(stderr)} nats"
    if likelihood.kind == "lower_bound":
        return f"this lower bound lies below {name} by {by}: the model may be better than that: {advice}"
    by += ", as far as this estimate tells" if likelihood.kind == "estimate" else ""
    return f"worse than {name} by {by}: {advice}"


def _subtract(likelihood: Estimate, baseline: Baseline) -> tuple[float, float | None]:
    """Returns the gap by which the model lies below the baseline, nats, and its standard error, None if unknown."""
    if likelihood.values is not None and len(likelihood.values) == len(baseline.log_p):
        return mean_and_stderr(baseline.log_p - likelihood.values)
    mean, stderr = mean_and_stderr(baseline.log_p)
    if stderr is None or likelihood.stderr is None:
        return mean - likelihood.value, None
    return mean - likelihood.value, math.hypot(stderr, likelihood.stderr)


def _computing_margin(likelihood: Estimate) -> Margin:
    interval = likelihood.computing_interval
    return Margin.from_interval(likelihood.value, interval) if interval else NO_MARGIN


def _select_row(likelihood: Estimate, models: Sequence[Estimate], baselines: Sequence[Estimate]) -> Estimate:
    """Returns the row of the model in the unit of the baselines."""
    if baselines[0].quantity == "perplexity":
        for each in models:
            if each.quantity == "perplexity" and each.estimator == likelihood.estimator:
                return each
    return likelihood


def _add_warning(estimate: Estimate, warning: str) -> Estimate:
    if "collapsed" in (estimate.warning or ""):  # that warning says the same and gives advice
        return estimate
    return replace(estimate, warning=join_warnings(estimate.warning, warning))


def _format_nats(nats: float) -> str:
    if nats < 1e-6:
        return "0"
    return f"{nats:.2f}" if 0.1 <= nats < 1e5 else f"{nats:.2g}"
