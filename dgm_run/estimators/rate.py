"""A log-likelihood told in the unit in which data of their kind are compared: bits of a dimension, or perplexity."""

import math

import torch
from torch import Tensor

from dgm_run.data.dataset import Examples
from dgm_run.data.text import Sentences
from dgm_run.estimators.base import Estimate, Kind, mean_and_stderr


def rate(log_p: Tensor, data: Examples, estimator: str, kind: Kind, **more) -> list[Estimate]:
    """Bits of a dimension, of sentences their perplexity; and how far from the truth it is, where that is known.

    Args:
        log_p: log p(x) of each example, (N,), nats.
        data: the examples.
        estimator, kind, more: as of an `Estimate`.
    """
    log_p = log_p.double().cpu()
    opposite: dict[Kind, Kind] = {"lower_bound": "upper_bound", "upper_bound": "lower_bound"}
    kind = opposite.get(kind, kind)  # less is better of all that follows
    if isinstance(data, Sentences):
        told = Estimate("perplexity", estimator, kind, *perplexity(log_p, data), len(data), "", **more)
    else:
        bits = bits_per_dim(log_p, data)
        bits = bits[bits.isfinite()]  # of examples of which nothing is seen there is no rate
        told = Estimate.over(bits, "bits_per_dim", estimator, kind, unit="bits", **more)
    if data.log_p is None:
        return [told]
    truth = Estimate("true_log_likelihood", "data", "exact", *mean_and_stderr(data.log_p), len(data))
    lost = Estimate.over(data.log_p - log_p, "kl_from_truth", estimator, kind, **more)
    return [told, truth, lost]


def bits_per_dim(log_p: Tensor, data: Examples) -> Tensor:
    """-log p(x) / (D log 2) of each example, per grey level also where the data are dequantised.

    D counts the elements that are seen; NaN where there is none.
    """
    return -(log_p / data.num_seen.to(log_p) + data.log_bin_width) / math.log(2)


def perplexity(log_p: Tensor, data: Sentences) -> tuple[float, float | None]:
    """exp(-sum log p / sum of the tokens), ends among them and no padding, and its standard error over sentences."""
    tokens = data.num_seen.double().cpu()
    value = torch.exp(-log_p.sum() / tokens.sum())
    if len(log_p) < 2:
        return value.item(), None
    # of a ratio of two sums over the sentences, linearised
    scatter = (log_p - log_p.sum() / tokens.sum() * tokens).std() / tokens.mean()
    return value.item(), (value * scatter / len(log_p) ** 0.5).item()
