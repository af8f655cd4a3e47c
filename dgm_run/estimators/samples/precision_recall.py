"""Precision and recall, density and coverage: do samples lie where data are, and data where samples are?

Sources: T. Kynkaanniemi et al., Improved precision and recall metric for assessing generative models, 2019,
https://arxiv.org/abs/1904.06991; M. F. Naeem et al., Reliable fidelity and diversity metrics for generative models,
2020, https://arxiv.org/abs/2002.09797.
"""

from typing import NamedTuple

import torch
from torch import Tensor

ROWS = 1000
"""Of a table of distances at a time."""


class Manifolds(NamedTuple):
    """What balls around each example, out to its k-th neighbour of its own kind, hold of the other kind.

    Attributes:
        precision: whether a sample lies in the ball of a data point, (M,).
        recall: whether a data point lies in the ball of a sample, (N,).
        density: in how many balls of data points a sample lies, over k, (M,): one in the mean where both are alike.
        coverage: whether there is a sample in the ball of a data point, (N,); `expected_coverage` where both are alike.
    """

    precision: Tensor
    recall: Tensor
    density: Tensor
    coverage: Tensor


def manifolds(data: Tensor, samples: Tensor, k: int) -> Manifolds:
    """Of features (N, D) of data and (M, D) of samples, with k neighbours.

    Raises:
        ValueError: there are no k neighbours.
    """
    data = data.double()
    samples = samples.double()
    around_data = radii(data, k)
    around_samples = radii(samples, k)
    num_balls = []
    is_hit = []
    recall = torch.zeros(len(data), dtype=torch.bool, device=data.device)
    nearest = torch.full((len(data),), torch.inf, dtype=data.dtype, device=data.device)
    for rows, around_rows in zip(samples.split(ROWS), around_samples.split(ROWS), strict=True):
        distances = torch.cdist(rows, data)
        inside = distances <= around_data
        num_balls.append(inside.sum(1))
        is_hit.append(inside.any(1))
        recall |= (distances <= around_rows.unsqueeze(1)).any(0)
        nearest = torch.minimum(nearest, distances.amin(0))
    return Manifolds(
        torch.cat(is_hit).double(), recall.double(), torch.cat(num_balls) / k, (nearest <= around_data).double()
    )


def expected_coverage(num_data: int, num_samples: int, k: int) -> float:
    """Of two samples of one distribution."""
    missed = 1.0
    for j in range(1, k + 1):
        missed *= (num_data - j) / (num_samples + num_data - j)
    return 1 - missed


def radii(x: Tensor, k: int) -> Tensor:
    """The distance of each example of (N, D) to its k-th neighbour among the others, (N,).

    Raises:
        ValueError: there are no k others.
    """
    if not 1 <= k < len(x):
        raise ValueError(f"{len(x)} examples have no {k} neighbours each")
    return torch.cat([torch.cdist(rows, x).kthvalue(k + 1, dim=1).values for rows in x.split(ROWS)])


def nearest(x: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Distance to the nearest row of `among`, (M, D), and which one it is, for each row of x: (N,), (N,)."""
    found = [torch.cdist(rows, among).min(1) for rows in x.split(ROWS)]
    return torch.cat([each.values for each in found]), torch.cat([each.indices for each in found])
