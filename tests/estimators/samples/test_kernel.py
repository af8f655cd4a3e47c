import math

import pytest
import torch

from dgm_run.estimators.samples.kernel import (
    cubic_distances,
    cubic_stderr,
    mmd_stderr,
    permutation_p_value,
    squared_mmd,
)


def test_mmd_matches_closed_form():
    torch.manual_seed(0)
    n, shift = 3000, 1.0
    a, b = torch.randn(n, 1).double(), torch.randn(n, 1).double() + shift
    h = torch.pdist(a).square().median().item()

    def mean_kernel(variance, mean):  # of exp(-d^2 / h), d Gaussian
        return math.sqrt(h / (h + 2 * variance)) * math.exp(-(mean**2) / (h + 2 * variance))

    exact = 2 * mean_kernel(2, 0) - 2 * mean_kernel(2, shift)
    assert squared_mmd(a, b).item() == pytest.approx(exact, abs=0.01)
    again = torch.stack([squared_mmd(torch.randn(50, 2), torch.randn(50, 2)) for _ in range(400)])
    assert abs(again.mean()) < 4 * again.std() / 20  # without bias, and so at times below zero
    assert again.min() < 0


@pytest.mark.parametrize(
    ("distance", "stderr"),
    [(squared_mmd, mmd_stderr), (lambda x, y: cubic_distances(x, y).mean(), cubic_stderr)],
)
@pytest.mark.parametrize(("shift", "factor"), [(1.0, 1.0), (0.0, math.sqrt(2))])
def test_stated_errors_match_the_scatter(distance, stderr, shift, factor):
    torch.manual_seed(0)
    found = []
    for _ in range(300):
        x, y = torch.randn(100, 2).double(), torch.randn(100, 2).double() + shift
        found.append((distance(x, y).item(), stderr(x, y) ** 2))
    distances, squares = torch.tensor(found).T
    assert squares.mean().sqrt().item() == pytest.approx(factor * distances.std().item(), rel=0.12)


def test_cubic_distance_matches_moments():
    torch.manual_seed(0)
    dim, shift = 3, 0.7
    x, y = torch.randn(20_000, dim), torch.randn(20_000, dim) + shift

    def mean_kernel(mean_a, mean_b):  # E (1 + a'b / D)^3 for independent N(mean_a 1, I), N(mean_b 1, I)
        m1 = mean_a * mean_b * dim
        variance = dim * (1 + mean_a**2 + mean_b**2)
        # third central moment of a'b: sum over coordinates of that of the product of two Gaussians
        third = dim * 6 * mean_a * mean_b
        m2, m3 = variance + m1**2, third + 3 * m1 * variance + m1**3
        return 1 + 3 * m1 / dim + 3 * m2 / dim**2 + m3 / dim**3

    exact = mean_kernel(0, 0) + mean_kernel(shift, shift) - 2 * mean_kernel(0, shift)
    found = cubic_distances(x, y)
    assert len(found) == 20
    assert found.mean().item() == pytest.approx(exact, abs=4 * found.std().item() / math.sqrt(20))
    assert abs(found.mean().item() / exact - 1) < 0.1
    null = torch.stack([cubic_distances(torch.randn(60, 3), torch.randn(60, 3)).mean() for _ in range(300)])
    assert abs(null.mean()) < 4 * null.std() / math.sqrt(300)


def test_small_samples_make_ten_blocks():
    assert len(cubic_distances(torch.randn(360, 4), torch.randn(360, 4))) == 10
    assert len(cubic_distances(torch.randn(365, 4), torch.randn(365, 4))) == 10  # what is left over is left out


def test_p_values_are_uniform_under_the_null():
    torch.manual_seed(0)
    null = torch.tensor([permutation_p_value(torch.randn(30, 2), torch.randn(30, 2), 99) for _ in range(200)])
    assert abs(null.mean() - 0.5) < 4 * math.sqrt(1 / 12 / 200)
    assert abs((null <= 0.1).double().mean() - 0.1) < 4 * math.sqrt(0.09 / 200)
    assert permutation_p_value(torch.randn(60, 2), torch.randn(60, 2) + 1, 99) == 0.01


def test_p_value_counts_permutations():
    torch.manual_seed(0)
    x, y = torch.randn(4, 1).double(), torch.randn(4, 1).double() + 1
    h = torch.cdist(x, x).square()[~torch.eye(4, dtype=torch.bool)].median()
    both = torch.cat([x, y])

    def statistic(rows):
        rest = [i for i in range(8) if i not in rows]
        k = torch.exp(-torch.cdist(both, both).square() / h).fill_diagonal_(0)
        return (k[rows][:, rows].sum() + k[rest][:, rest].sum()) / 12 - 2 * k[rows][:, rest].mean()

    from itertools import combinations

    all_of_them = torch.stack([statistic(list(rows)) for rows in combinations(range(8), 4)])
    exact = (all_of_them >= statistic([0, 1, 2, 3]) - 1e-12).double().mean().item()
    assert permutation_p_value(x, y, 20_000) == pytest.approx(exact, abs=0.015)
