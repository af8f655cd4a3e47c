"""A log-likelihood told in the unit in which data of their kind are compared: bits of a dimension, or perplexity."""

import math

import torch
from torch import Tensor

from dgm_run.data.dataset import DataSplit
from dgm_run.data.text import Sentences
from dgm_run.estimators.base import Estimate, Kind
from dgm_run.estimators.intervals import NO_ERRORS, ComputingErrors, Margin, mean_and_stderr


def rate(
    log_p: Tensor,
    data: DataSplit,
    estimator: str,
    kind: Kind,
    errors: ComputingErrors = NO_ERRORS,
    **more,
) -> list[Estimate]:
    """Bits of a dimension, of sentences their perplexity; and how far from the truth it is, where that is known.

    Of dequantised data the bits are those of a discrete model, log P(x) = log of the integral of p over the cell of x,
    of which one draw of noise gives a lower bound in the mean: so exact bits are an upper bound.

    Args:
        log_p: log p(x) of each example, (N,), nats.
        data: the examples.
        estimator, kind, errors, more: as of `Estimate.over`.
    """
    log_p = log_p.double().cpu()
    opposite: dict[Kind, Kind] = {"lower_bound": "upper_bound", "upper_bound": "lower_bound"}
    kind = opposite.get(kind, kind)  # less is better of all that follows
    if isinstance(data, Sentences):
        told = estimate_perplexity(log_p, data, estimator, kind, errors, **more)
    else:
        of_bits: Kind = "upper_bound" if data.log_bin_width and kind == "exact" else kind
        if data.log_bin_width and kind == "lower_bound":
            of_bits = "estimate"  # a bound from below of a bound from above
        num_observed = data.num_observed.double().cpu().expand(len(log_p))
        is_known = num_observed > 0  # of examples of which nothing is seen there is no rate
        factor = -(1 / num_observed[is_known]).mean().item() / math.log(2)
        bits = bits_per_dim(log_p, data)[is_known]
        told = Estimate.over(bits, "bits_per_dim", estimator, of_bits, errors.scale(factor), unit="bits", **more)
    if data.log_p is None:
        return [told]
    truth = Estimate("true_log_likelihood", "data", "exact", *mean_and_stderr(data.log_p), len(data))
    lost = Estimate.over(data.log_p - log_p, "kl_from_truth", estimator, kind, errors.scale(-1), **more)
    return [told, truth, lost]


def estimate_perplexity(
    log_p: Tensor,
    data: Sentences,
    estimator: str,
    kind: Kind,
    errors: ComputingErrors = NO_ERRORS,
    **more,
) -> Estimate:
    """The perplexity with its errors: its logarithm is a ratio of two sums over the sentences, and has the intervals.

    Args:
        log_p: log p of each sentence, (N,), nats, in float64 on the CPU.
        data, estimator, kind, errors, more: as of `rate`.
    """
    value, stderr = perplexity(log_p, data)
    rate = -len(log_p) / data.num_observed.sum().item()  # of the logarithm, for a nat of the mean of log p
    errors = errors.scale(rate)
    computing, interval = errors.margin, None
    if stderr is not None:
        of_examples = Margin.student(stderr / value, len(log_p) - 1)
        interval = _around_logarithm(value, errors.add_examples(of_examples))
        stderr = math.hypot(stderr, value * errors.common.stderr)
    of_computing = _around_logarithm(value, computing) if any(computing) else None
    return Estimate(
        *("perplexity", estimator, kind, value, stderr, len(data), ""),
        interval=interval,
        computing_interval=of_computing,
        **more,
    )


def _around_logarithm(value: float, margin: Margin) -> tuple[float, float]:
    low, high = (value * torch.tensor([-margin.below, margin.above], dtype=torch.float64).exp()).tolist()
    return low, high  # infinite where math.exp would fail


def bits_per_dim(log_p: Tensor, data: DataSplit) -> Tensor:
    """-log p(x) / (D log 2) of each example, per grey level also where the data are dequantised.

    D counts the elements that are seen; NaN where there is none.
    """
    return -(log_p / data.num_observed.to(log_p) + data.log_bin_width) / math.log(2)


def perplexity(log_p: Tensor, data: Sentences) -> tuple[float, float | None]:
    """exp(-sum log p / sum of the tokens), ends among them and no padding, and its standard error over sentences."""
    tokens = data.num_observed.double().cpu()
    value = torch.exp(-log_p.sum() / tokens.sum())
    if len(log_p) < 2:
        return value.item(), None
    # of a ratio of two sums over the sentences, linearised
    scatter = (log_p - log_p.sum() / tokens.sum() * tokens).std() / tokens.mean()
    return value.item(), (value * scatter / len(log_p) ** 0.5).item()
