"""Conversion of a log-likelihood to the unit of its kind of data: bits per dimension, or perplexity."""

import math

import torch
from torch import Tensor

from dgm_run.data.data_split import DataSplit
from dgm_run.data.text import Sentences
from dgm_run.estimators.base import Estimate, Kind
from dgm_run.estimators.intervals import NO_ERRORS, ComputingErrors, Margin, mean_and_stderr


def convert_likelihood(
    log_p: Tensor,
    data: DataSplit,
    estimator: str,
    kind: Kind,
    errors: ComputingErrors = NO_ERRORS,
    **more,
) -> list[Estimate]:
    """Returns bits per dimension, or the perplexity of sentences, and the KL from the truth where it is known.

    Dequantised data have the bits of a discrete model, log P(x) = log of the integral of p over the cell of x. One
    draw of noise gives a lower bound of log P(x) in expectation. So exact bits are an upper bound.

    Args:
        log_p: log p(x) of each example, (N,), nats.
        data: the examples.
        estimator, kind, errors, more: arguments of `Estimate.over`.
    """
    log_p = log_p.double().cpu()
    opposite: dict[Kind, Kind] = {"lower_bound": "upper_bound", "upper_bound": "lower_bound"}
    kind = opposite.get(kind, kind)  # each quantity below falls where log p rises
    if isinstance(data, Sentences):
        converted = estimate_perplexity(log_p, data, estimator, kind, errors, **more)
    else:
        bits_kind = kind
        if data.log_bin_width and kind == "exact":
            bits_kind = "upper_bound"
        elif data.log_bin_width and kind == "lower_bound":
            bits_kind = "estimate"  # a lower bound of an upper bound
        num_observed = data.num_observed.double().cpu().expand(len(log_p))
        is_known = num_observed > 0  # an example without observed elements has no rate
        factor = -(1 / num_observed[is_known]).mean().item() / math.log(2)
        bits = bits_per_dim(log_p, data)[is_known]
        scaled = errors.scale(factor)
        converted = Estimate.over(bits, "bits_per_dim", estimator, bits_kind, scaled, unit="bits", **more)
    if data.log_p is None:
        return [converted]
    truth = Estimate("true_log_likelihood", "data", "exact", *mean_and_stderr(data.log_p), len(data))
    kl = Estimate.over(data.log_p - log_p, "kl_from_truth", estimator, kind, errors.scale(-1), **more)
    return [converted, truth, kl]


def estimate_perplexity(
    log_p: Tensor,
    data: Sentences,
    estimator: str,
    kind: Kind,
    errors: ComputingErrors = NO_ERRORS,
    **more,
) -> Estimate:
    """Estimates the perplexity; its intervals are those of its logarithm, a ratio of two sums over the sentences.

    Args:
        log_p: log p of each sentence, (N,), nats, in float64 on the CPU.
        data, estimator, kind, errors, more: arguments of `convert_likelihood`.
    """
    value, stderr = perplexity(log_p, data)
    slope = -len(log_p) / data.num_observed.sum().item()  # of the log of the perplexity in the mean of log p
    errors = errors.scale(slope)
    computing = errors.margin
    interval = None
    if stderr is not None:
        examples = Margin.student(stderr / value, len(log_p) - 1)
        interval = _interval_by_log(value, errors.add_examples(examples))
        stderr = math.hypot(stderr, value * errors.common.stderr)
    return Estimate(
        quantity="perplexity",
        estimator=estimator,
        kind=kind,
        value=value,
        stderr=stderr,
        num_examples=len(data),
        unit="",
        interval=interval,
        computing_interval=_interval_by_log(value, computing) if any(computing) else None,
        **more,
    )


def _interval_by_log(value: float, margin: Margin) -> tuple[float, float]:
    """Returns the interval of a value whose logarithm has this margin."""
    low, high = (value * torch.tensor([-margin.below, margin.above], dtype=torch.float64).exp()).tolist()
    return low, high  # infinite where math.exp would fail


def bits_per_dim(log_p: Tensor, data: DataSplit) -> Tensor:
    """Returns -log p(x) / (D log 2) of each example, (N,), per grey level also where the data are dequantised.

    D counts the observed elements; the bits are NaN where there is none.
    """
    return -(log_p / data.num_observed.to(log_p) + data.log_bin_width) / math.log(2)


def perplexity(log_p: Tensor, data: Sentences) -> tuple[float, float | None]:
    """Returns exp(-sum log p / number of tokens) and its standard error over sentences.

    The tokens include the end of each sentence and no padding.
    """
    tokens = data.num_observed.double().cpu()
    value = torch.exp(-log_p.sum() / tokens.sum())
    if len(log_p) < 2:
        return value.item(), None
    # linearises a ratio of two sums over the sentences
    scatter = (log_p - log_p.sum() / tokens.sum() * tokens).std() / tokens.mean()
    return value.item(), (value * scatter / len(log_p) ** 0.5).item()
