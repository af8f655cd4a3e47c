"""Classifier two-sample tests: the accuracy of a classifier that separates two samples.

Source: D. Lopez-Paz, M. Oquab, Revisiting classifier two-sample tests, 2017, https://arxiv.org/abs/1610.06545.
"""

import torch
from torch import Tensor

from dgm_run.estimators.samples.precision_recall import find_nearest


def linear_hits(x: Tensor, y: Tensor) -> Tensor:
    """Returns 1 for each tested example whose sample logistic regression predicts correctly, else 0.

    It is fitted to one half of both samples and tested on the other half. Being linear, it detects differences of the
    means, and little else.

    Args:
        x, y: samples, (N, D) each.
    """
    from sklearn.linear_model import LogisticRegression  # costs a second

    train, origin, test, truth = _split_halves(x, y)
    classifier = LogisticRegression(max_iter=1000).fit(train.cpu().numpy(), origin.cpu().numpy())
    predicted = torch.from_numpy(classifier.predict(test.cpu().numpy()))
    return (predicted == truth.cpu()).double()


def neighbour_hits(x: Tensor, y: Tensor) -> Tensor:
    """Returns 1 for each tested example whose nearest neighbour comes from the same sample, else 0.

    The tested examples are one half of both samples. Their neighbours are in the other half.

    Args:
        x, y: samples, (N, D) each.
    """
    train, origin, test, truth = _split_halves(x, y)
    return (origin[find_nearest(test, train)[1]] == truth).double()


def _split_halves(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Splits both samples into random halves; returns the examples and origins, 0 or 1, of each half."""
    half = min(len(x), len(y)) // 2
    x = x[torch.randperm(len(x)).to(x.device)].double()
    y = y[torch.randperm(len(y)).to(y.device)].double()
    origin = torch.arange(2, device=x.device).repeat_interleave(half)
    # a random order, because the search takes the first of equally near neighbours
    first_order = torch.randperm(2 * half).to(x.device)
    second_order = torch.randperm(2 * half).to(x.device)
    first = torch.cat([x[:half], y[:half]])[first_order]
    second = torch.cat([x[half : 2 * half], y[half : 2 * half]])[second_order]
    return first, origin[first_order], second, origin[second_order]
