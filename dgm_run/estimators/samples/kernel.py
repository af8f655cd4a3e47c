"""Kernel distances of two samples: the maximum mean discrepancy (MMD) with Gaussian and with cubic kernels.

Sources: A. Gretton et al., A kernel two-sample test, 2012, https://jmlr.org/papers/v13/gretton12a.html; M. Binkowski et
al., Demystifying MMD GANs, 2018, https://arxiv.org/abs/1801.01401 (kernel inception distance).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

MAX_BLOCK_SIZE = 1000
"""Largest size of a block of the cubic distance; there are at least ten blocks."""


def squared_mmd(x: Tensor, y: Tensor) -> Tensor:
    """Returns the unbiased squared MMD of two samples, (N, D) each.

    The kernel is exp(-|a - b|^2 / h), with h the median squared distance within x.
    """
    return _estimate_discrepancy(*_gaussian_kernels(x, y))


def mmd_stderr(x: Tensor, y: Tensor) -> float:
    """Estimates the standard error of `squared_mmd`, a U-statistic of two samples of one size, (N, D) each.

    Where both samples have the same distribution it is too large by the root of two.
    """
    return _pair_stderr(_pair_terms(*_gaussian_kernels(x, y)))


def _gaussian_kernels(x: Tensor, y: Tensor) -> list[Tensor]:
    """Returns the kernel matrices within x, within y, and across."""
    squares = [torch.cdist(a, b).square() for a, b in ((x, x), (y, y), (x, y))]
    h = _median_within(squares[0])
    return [torch.exp(-distances / h) for distances in squares]


def permutation_p_value(x: Tensor, y: Tensor, num_permutations: int) -> float:
    """Returns the p-value of the permutation test: the share of random splits with at least the observed discrepancy.

    Args:
        x, y: samples, (N, D) each.
        num_permutations: number of random splits of both samples into halves.
    """
    n = len(x)
    both = torch.cat([x, y]).double()
    squares = torch.cdist(both, both).square()
    kernel = torch.exp(-squares / _median_within(squares[:n, :n])).fill_diagonal_(0)
    halves = both.new_full((num_permutations + 1, 2 * n), -1.0)
    halves[0, :n] = 1  # the samples themselves
    halves[1:].scatter_(1, torch.rand(num_permutations, 2 * n).to(both.device).argsort(1)[:, :n], 1.0)
    discrepancies = _split_discrepancies(kernel, halves, n)
    num_larger = (discrepancies[1:] >= discrepancies[0] - 1e-12).sum().item()
    return (num_larger + 1) / (num_permutations + 1)


def cubic_distances(x: Tensor, y: Tensor) -> Tensor:
    """Returns the unbiased squared MMD of blocks of both samples, (N, D) each, with (a'b / D + 1)^3: (blocks,).

    Their mean is the kernel inception distance of these features.
    """
    return torch.stack([_estimate_discrepancy(*kernels) for kernels in _cubic_kernels(x, y)])


def cubic_stderr(x: Tensor, y: Tensor) -> float:
    """Estimates the standard error of the mean of `cubic_distances`, U-statistics of blocks without shared examples."""
    by_pair = torch.cat([_pair_terms(*kernels) for kernels in _cubic_kernels(x, y)])
    return _pair_stderr(by_pair)


def _cubic_kernels(x: Tensor, y: Tensor) -> Iterator[list[Tensor]]:
    """Yields the kernel matrices of each block: within x, within y, and across."""
    size = max(2, min(MAX_BLOCK_SIZE, len(x) // 10))
    dim = x.shape[1]
    for a, b in zip(x.double().split(size), y.double().split(size), strict=True):
        if len(a) == size:
            yield [(left @ right.T / dim + 1) ** 3 for left, right in ((a, a), (b, b), (a, b))]


def _median_within(squares: Tensor) -> Tensor:
    """Computes the median of the squared distances between different examples, (N, N) -> ()."""
    return squares[~torch.eye(len(squares), dtype=torch.bool, device=squares.device)].median()


def _pair_terms(k_xx: Tensor, k_yy: Tensor, k_xy: Tensor) -> Tensor:
    """Returns the term of each pair of examples, the i-th of both samples, in the discrepancy, (N,)."""
    within = [(k.sum(1) - k.diagonal()) / (len(k) - 1) for k in (k_xx, k_yy)]
    return within[0] + within[1] - k_xy.mean(1) - k_xy.mean(0)


def _pair_stderr(terms: Tensor) -> float:
    """Computes the standard error of a U-statistic from the terms of its pairs, (N,)."""
    return (2 * terms.std() / len(terms) ** 0.5).item()


def _estimate_discrepancy(k_xx: Tensor, k_yy: Tensor, k_xy: Tensor) -> Tensor:
    """Returns the unbiased squared MMD from the kernel matrices within x, within y, and across."""

    def mean_off_diagonal(k: Tensor) -> Tensor:
        return (k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1))

    return mean_off_diagonal(k_xx) + mean_off_diagonal(k_yy) - 2 * k_xy.mean()


def _split_discrepancies(kernel: Tensor, halves: Tensor, n: int) -> Tensor:
    """Returns the discrepancy of each split, a row of signs of `halves`, (P, 2N); the kernel has a zero diagonal."""
    first = (halves > 0).to(kernel.dtype)
    second = (halves < 0).to(kernel.dtype)
    first_sums = first @ kernel
    second_sums = second @ kernel
    within = ((first_sums * first).sum(1) + (second_sums * second).sum(1)) / (n * (n - 1))
    return within - 2 * (first_sums * second).sum(1) / n**2
