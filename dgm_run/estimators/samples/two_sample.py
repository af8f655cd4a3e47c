"""Classifier two-sample tests: the accuracy of a classifier that separates two samples.

Source: D. Lopez-Paz, M. Oquab, Revisiting classifier two-sample tests, 2017, https://arxiv.org/abs/1610.06545.
"""

import torch
from torch import Tensor

from dgm_run.estimators.samples.precision_recall import find_nearest


def linear_accuracy(x: Tensor, y: Tensor) -> Tensor:
    """Returns 1 for each example that logistic regression classifies rightly, else 0.

    It is fitted to one half of both samples, (N, D) each, and tested on the other half. It uses little beyond the
    means.
    """
    from sklearn.linear_model import LogisticRegression  # costs a second

    train, origin, test, truth = _split_halves(x, y)
    classifier = LogisticRegression(max_iter=1000).fit(train.cpu().numpy(), origin.cpu().numpy())
    predicted = torch.from_numpy(classifier.predict(test.cpu().numpy()))
    return (predicted == truth.cpu()).double()


def neighbour_accuracy(x: Tensor, y: Tensor) -> Tensor:
    """Returns 1 for each example of one half whose nearest neighbour in the other half is of its own sample, else 0.

    Args:
        x, y: samples, (N, D) each.
    """
    train, origin, test, truth = _split_halves(x, y)
    return (origin[find_nearest(test, train)[1]] == truth).double()


def _split_halves(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Splits both samples into random halves; returns the examples and origins, 0 or 1, of each half."""
    half = min(len(x), len(y)) // 2
    x, y = (sample[torch.randperm(len(sample)).to(sample.device)].double() for sample in (x, y))
    origin = torch.arange(2, device=x.device).repeat_interleave(half)
    parts = []
    for cut in (slice(0, half), slice(half, 2 * half)):
        order = torch.randperm(2 * half).to(x.device)  # a search takes the first of equal neighbours
        parts.append((torch.cat([x[cut], y[cut]])[order], origin[order]))
    (seen, of_seen), (unseen, of_unseen) = parts
    return seen, of_seen, unseen, of_unseen
