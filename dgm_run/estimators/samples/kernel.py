"""Kernel distances of two samples: the maximum mean discrepancy with Gaussian and with cubic kernels.

Sources: A. Gretton et al., A kernel two-sample test, 2012, https://jmlr.org/papers/v13/gretton12a.html; M. Binkowski et
al., Demystifying MMD GANs, 2018, https://arxiv.org/abs/1801.01401 (kernel inception distance).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 1000
"""Examples of a block of the cubic distance, at most, and as many blocks as there are; at least ten."""


def squared_discrepancy(x: Tensor, y: Tensor) -> Tensor:
    """The squared maximum mean discrepancy of two samples, (N, D) each: without bias, with the kernel
    exp(-|a - b|^2 / h), h the median squared distance within x.
    """
    return _unbiased(*_gaussian_kernels(x, y))


def discrepancy_stderr(x: Tensor, y: Tensor) -> float:
    """Standard error of `squared_discrepancy` of two samples of one size, (N, D) each, as of a U-statistic.

    Where both are of one distribution it is too large by the root of two.
    """
    return _pair_stderr(_pair_terms(*_gaussian_kernels(x, y)))


def _gaussian_kernels(x: Tensor, y: Tensor) -> list[Tensor]:
    """Within x, within y, and across."""
    squares = [torch.cdist(a, b).square() for a, b in ((x, x), (y, y), (x, y))]
    h = _median_within(squares[0])
    return [torch.exp(-distances / h) for distances in squares]


def permutation_p_value(x: Tensor, y: Tensor, num_permutations: int) -> float:
    """How often two random halves of both samples, (N, D) each, are at least as far apart as they are."""
    n = len(x)
    both = torch.cat([x, y]).double()
    squares = torch.cdist(both, both).square()
    kernel = torch.exp(-squares / _median_within(squares[:n, :n])).fill_diagonal_(0)
    halves = both.new_full((num_permutations + 1, 2 * n), -1.0)
    halves[0, :n] = 1  # as they are
    halves[1:].scatter_(1, torch.rand(num_permutations, 2 * n).to(both.device).argsort(1)[:, :n], 1.0)
    # up to constants that all halves share, s' K s is the discrepancy: within the halves less across
    found = _discrepancies(kernel, halves, n)
    return ((found[1:] >= found[0] - 1e-12).sum().item() + 1) / (num_permutations + 1)


def cubic_distances(x: Tensor, y: Tensor) -> Tensor:
    """The squared discrepancy, without bias, of blocks of both samples, (N, D) each, with (a'b / D + 1)^3: (blocks,).

    Their mean is the kernel inception distance of these features.
    """
    return torch.stack([_unbiased(*kernels) for kernels in _cubic_kernels(x, y)])


def cubic_stderr(x: Tensor, y: Tensor) -> float:
    """Standard error of the mean of `cubic_distances`, as of a U-statistic: the blocks share no examples."""
    by_pair = torch.cat([_pair_terms(*kernels) for kernels in _cubic_kernels(x, y)])
    return _pair_stderr(by_pair)


def _cubic_kernels(x: Tensor, y: Tensor) -> Iterator[list[Tensor]]:
    """Of each block: within x, within y, and across."""
    size = max(2, min(BLOCK, len(x) // 10))
    dim = x.shape[1]
    for a, b in zip(x.double().split(size), y.double().split(size), strict=True):
        if len(a) == size:
            yield [(left @ right.T / dim + 1) ** 3 for left, right in ((a, a), (b, b), (a, b))]


def _median_within(squares: Tensor) -> Tensor:
    return squares[~torch.eye(len(squares), dtype=torch.bool, device=squares.device)].median()


def _pair_terms(of_x: Tensor, of_y: Tensor, across: Tensor) -> Tensor:
    """What each pair of examples, the i-th of both samples, has in the discrepancy, (N,)."""
    within = [(k.sum(1) - k.diagonal()) / (len(k) - 1) for k in (of_x, of_y)]
    return within[0] + within[1] - across.mean(1) - across.mean(0)


def _pair_stderr(terms: Tensor) -> float:
    return (2 * terms.std() / len(terms) ** 0.5).item()


def _unbiased(of_x: Tensor, of_y: Tensor, across: Tensor) -> Tensor:
    def within(k: Tensor) -> Tensor:
        return (k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1))

    return within(of_x) + within(of_y) - 2 * across.mean()


def _discrepancies(kernel: Tensor, halves: Tensor, n: int) -> Tensor:
    """Of each row of signs, (P, 2N), whose kernel has no diagonal."""
    first = (halves > 0).to(kernel.dtype)
    second = (halves < 0).to(kernel.dtype)
    of_first = first @ kernel
    of_second = second @ kernel
    within = ((of_first * first).sum(1) + (of_second * second).sum(1)) / (n * (n - 1))
    return within - 2 * (of_first * second).sum(1) / n**2
