"""Stein variational gradient descent, and the discrepancy that it lowers.

Sources: Q. Liu, D. Wang, Stein variational gradient descent, 2016, https://arxiv.org/abs/1608.04471; Q. Liu, J. Lee,
M. Jordan, A kernelized Stein discrepancy for goodness-of-fit tests, 2016, https://arxiv.org/abs/1602.03253.
"""

import math

import torch
from torch import Tensor

from dgm_run.distributions.base import full_precision


def bandwidth(z: Tensor) -> Tensor:
    """h of exp(-|a - b|^2 / h): the median squared distance over log(n + 1), for each element of the batch, (B,)."""
    squares = _squared_distances(z)
    n = len(z)
    others = ~torch.eye(n, dtype=torch.bool, device=z.device)
    return squares[:, others].median(-1).values / math.log(n + 1) + 1e-12


def direction(z: Tensor, score: Tensor, by_others: bool) -> Tensor:
    """Where the particles go: phi_i = 1/n sum_j k(z_j, z_i) score_j + grad_{z_j} k(z_j, z_i).

    Args:
        z: n particles for each of B targets, (n, B, L).
        score: gradient of the log density of the target at each, which need not be normalised.
        by_others: for independent draws of one q: the mean over j other than i, which is unbiased for the direction
            of q at z_i. The particle's own score, where k = 1, would pull all of them to the mode.
    """
    h = bandwidth(z).view(-1, 1, 1)
    n = len(z)
    k = torch.exp(-_squared_distances(z) / h)  # (B, n, n)
    if by_others:
        k = k - torch.eye(n, dtype=k.dtype, device=k.device)
    z = (z - z.mean(0)).transpose(0, 1)  # (B, n, L)
    score = score.transpose(0, 1)  # (B, n, L)
    with full_precision(z):  # what repels is the difference of close numbers
        repulsion = 2 / h * (z * k.sum(-1, keepdim=True) - k @ z)
        return ((k @ score + repulsion) / (n - by_others)).transpose(0, 1)


def squared_discrepancy(z: Tensor, score: Tensor) -> Tensor:
    """The squared kernelised Stein discrepancy from the target, (B,): a U-statistic, zero in the mean on its draws."""
    h = bandwidth(z).view(-1, 1, 1)
    squares = _squared_distances(z)
    z = z.transpose(0, 1)
    score = score.transpose(0, 1)
    n, dim = z.shape[1:]
    k = torch.exp(-squares / h)
    difference = z.unsqueeze(2) - z.unsqueeze(1)  # (B, n, n, L), of i less j
    drift = ((score.unsqueeze(2) - score.unsqueeze(1)) * difference).sum(-1)
    with full_precision(z):
        product = score @ score.mT
    u = k * (product + 2 / h * drift + 2 * dim / h - 4 * squares / h.square())
    total = u.sum((1, 2)) - u.diagonal(dim1=1, dim2=2).sum(-1)
    return total / (n * (n - 1))


def _squared_distances(z: Tensor) -> Tensor:
    """(n, B, L) -> (B, n, n)."""
    z = z.transpose(0, 1)
    return (z.unsqueeze(2) - z.unsqueeze(1)).square().sum(-1)
