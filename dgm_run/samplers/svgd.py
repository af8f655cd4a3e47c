"""Stein variational gradient descent and the kernelised Stein discrepancy.

Sources: Q. Liu, D. Wang, Stein variational gradient descent, 2016, https://arxiv.org/abs/1608.04471; Q. Liu, J. Lee,
M. Jordan, A kernelized Stein discrepancy for goodness-of-fit tests, 2016, https://arxiv.org/abs/1602.03253.
"""

import math

import torch
from torch import Tensor

from dgm_run.distributions.base import full_precision


def bandwidth(z: Tensor) -> Tensor:
    """Computes the bandwidth h of exp(-|a - b|^2 / h), (B,): the median squared distance over log(n + 1).

    Args:
        z: n particles for each of B targets, (n, B, L).
    """
    squares = _squared_distances(z)
    n = len(z)
    is_other = ~torch.eye(n, dtype=torch.bool, device=z.device)
    return squares[:, is_other].median(-1).values / math.log(n + 1) + 1e-12


def svgd_direction(z: Tensor, score: Tensor, is_self_excluded: bool) -> Tensor:
    """Computes the SVGD direction phi_i = 1/n sum_j k(z_j, z_i) score_j + grad_{z_j} k(z_j, z_i).

    Args:
        z: n particles for each of B targets, (n, B, L).
        score: gradient of the target's log density at each particle, (n, B, L); the density may be unnormalised.
        is_self_excluded: whether the mean is over j other than i. For independent draws of one q this mean is unbiased
            for the direction of q at z_i. The particle's own score, where k = 1, would pull all particles to the mode.

    Returns:
        phi, (n, B, L).
    """
    h = bandwidth(z).view(-1, 1, 1)
    n = len(z)
    k = torch.exp(-_squared_distances(z) / h)  # (B, n, n)
    if is_self_excluded:
        k = k - torch.eye(n, dtype=k.dtype, device=k.device)
    z = (z - z.mean(0)).transpose(0, 1)  # (B, n, L)
    score = score.transpose(0, 1)  # (B, n, L)
    with full_precision(z):  # the repulsion is a difference of close numbers
        repulsion = 2 / h * (z * k.sum(-1, keepdim=True) - k @ z)
        return ((k @ score + repulsion) / (n - is_self_excluded)).transpose(0, 1)


def squared_stein_discrepancy(z: Tensor, score: Tensor) -> Tensor:
    """Computes the squared kernelised Stein discrepancy, (B,): a U-statistic, zero in the mean on target samples.

    Args:
        z: n particles for each of B targets, (n, B, L).
        score: gradient of the target's log density at each particle, (n, B, L).
    """
    h = bandwidth(z).view(-1, 1, 1)
    squares = _squared_distances(z)
    z = z.transpose(0, 1)  # (B, n, L)
    score = score.transpose(0, 1)  # (B, n, L)
    n, dim = z.shape[1:]
    k = torch.exp(-squares / h)
    difference = z.unsqueeze(2) - z.unsqueeze(1)  # (B, n, n, L), z_i - z_j
    drift = ((score.unsqueeze(2) - score.unsqueeze(1)) * difference).sum(-1)
    with full_precision(z):
        product = score @ score.mT
    u = k * (product + 2 / h * drift + 2 * dim / h - 4 * squares / h.square())
    off_diagonal = u.sum((1, 2)) - u.diagonal(dim1=1, dim2=2).sum(-1)
    return off_diagonal / (n * (n - 1))


def _squared_distances(z: Tensor) -> Tensor:
    """Computes squared distances of particles: (n, B, L) -> (B, n, n)."""
    z = z.transpose(0, 1)
    return (z.unsqueeze(2) - z.unsqueeze(1)).square().sum(-1)
