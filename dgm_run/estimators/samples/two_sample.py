"""Classifier two-sample tests: can two samples be told apart?

Source: D. Lopez-Paz, M. Oquab, Revisiting classifier two-sample tests, 2017, https://arxiv.org/abs/1610.06545.
"""

import torch
from torch import Tensor

from dgm_run.estimators.samples.precision_recall import nearest


def linear_accuracy(x: Tensor, y: Tensor) -> Tensor:
    """Whether logistic regression, fitted to one half of both samples, (N, D) each, is right about each of the other
    half. It sees little beyond the means.
    """
    from sklearn.linear_model import LogisticRegression  # costs a second

    seen, origin, unseen, truth = _halves(x, y)
    machine = LogisticRegression(max_iter=1000).fit(seen.cpu().numpy(), origin.cpu().numpy())
    told = torch.from_numpy(machine.predict(unseen.cpu().numpy()))
    return (told == truth.cpu()).double()


def neighbour_accuracy(x: Tensor, y: Tensor) -> Tensor:
    """Whether each of one half of both samples, (N, D) each, has its nearest neighbour in the other half among its own
    kind.
    """
    seen, origin, unseen, truth = _halves(x, y)
    return (origin[nearest(unseen, seen)[1]] == truth).double()


def _halves(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Examples of both samples and where they are from, 0 or 1, of one random half and of the other."""
    half = min(len(x), len(y)) // 2
    x, y = (sample[torch.randperm(len(sample)).to(sample.device)].double() for sample in (x, y))
    origin = torch.arange(2, device=x.device).repeat_interleave(half)
    parts = []
    for cut in (slice(0, half), slice(half, 2 * half)):
        order = torch.randperm(2 * half).to(x.device)  # of equal neighbours the first one is taken
        parts.append((torch.cat([x[cut], y[cut]])[order], origin[order]))
    (seen, of_seen), (unseen, of_unseen) = parts
    return seen, of_seen, unseen, of_unseen
