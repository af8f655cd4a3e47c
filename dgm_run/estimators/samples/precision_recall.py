"""Precision, recall, density and coverage of samples by balls around each example.

Sources: T. Kynkaanniemi et al., Improved precision and recall metric for assessing generative models, 2019,
https://arxiv.org/abs/1904.06991; M. F. Naeem et al., Reliable fidelity and diversity metrics for generative models,
2020, https://arxiv.org/abs/2002.09797.
"""

from typing import NamedTuple

import torch
from torch import Tensor

ROWS = 1000
"""Rows of a table of distances at a time."""


class PrecisionRecall(NamedTuple):
    """Values of each example, float64. The ball of an example reaches to its k-th neighbour among data or samples.

    Attributes:
        precision: 1 where a sample lies in the ball of a data point, (M,).
        recall: 1 where a data point lies in the ball of a sample, (N,).
        density: number of data points whose balls contain the sample, over k, (M,). Its mean is one for samples of the
            data's distribution.
        coverage: 1 where the ball of a data point contains a sample, (N,). Its mean is `expected_coverage` for samples
            of the data's distribution.
    """

    precision: Tensor
    recall: Tensor
    density: Tensor
    coverage: Tensor


def measure_precision_recall(data: Tensor, samples: Tensor, k: int) -> PrecisionRecall:
    """Measures precision, recall, density and coverage from features of data, (N, D), and of samples, (M, D).

    Raises:
        ValueError: there are no k neighbours.
    """
    data = data.double()
    samples = samples.double()
    data_radii = compute_radii(data, k)
    sample_radii = compute_radii(samples, k)
    num_balls = []
    is_hit = []
    recall = torch.zeros(len(data), dtype=torch.bool, device=data.device)
    nearest = torch.full((len(data),), torch.inf, dtype=data.dtype, device=data.device)
    for rows, row_radii in zip(samples.split(ROWS), sample_radii.split(ROWS), strict=True):
        distances = torch.cdist(rows, data)
        inside = distances <= data_radii
        num_balls.append(inside.sum(1))
        is_hit.append(inside.any(1))
        recall |= (distances <= row_radii.unsqueeze(1)).any(0)
        nearest = torch.minimum(nearest, distances.amin(0))
    return PrecisionRecall(
        torch.cat(is_hit).double(), recall.double(), torch.cat(num_balls) / k, (nearest <= data_radii).double()
    )


def expected_coverage(num_data: int, num_samples: int, k: int) -> float:
    """Returns the expected coverage of two samples of one distribution."""
    p_missed = 1.0  # probability that a ball contains no sample
    for j in range(1, k + 1):
        p_missed *= (num_data - j) / (num_samples + num_data - j)
    return 1 - p_missed


def compute_radii(x: Tensor, k: int) -> Tensor:
    """Returns the distance of each example of (N, D) to its k-th neighbour among the others, (N,).

    Raises:
        ValueError: there are no k others.
    """
    if not 1 <= k < len(x):
        raise ValueError(f"{len(x)} examples have no {k} neighbours each: take more examples or fewer neighbours")
    # topk takes a tenth of the time of kthvalue
    return torch.cat([torch.cdist(rows, x).topk(k + 1, dim=1, largest=False).values[:, k] for rows in x.split(ROWS)])


def find_nearest(x: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the distance of each row of x to the nearest row of `among`, (M, D), and its index: (N,), (N,)."""
    nearest = [torch.cdist(rows, among).min(1) for rows in x.split(ROWS)]
    return torch.cat([each.values for each in nearest]), torch.cat([each.indices for each in nearest])
