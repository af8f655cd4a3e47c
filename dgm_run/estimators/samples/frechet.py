"""Frechet distance of two samples, between Gaussians with their moments.

Source: M. Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash equilibrium, 2017,
https://arxiv.org/abs/1706.08500.
"""

import torch
from torch import Tensor


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """Returns |m_x - m_y|^2 + tr(C_x + C_y - 2 (C_x C_y)^(1/2)) of features (N, D), (M, D).

    Its bias is about (D^2 / 2 + 2 D) / N for two samples of size N. So compare distances at equal N only.
    """
    x = x.double()
    y = y.double()
    root = _square_root(_covariance(x))
    trace_of_root = torch.linalg.eigvalsh(root @ _covariance(y) @ root).clamp(min=0).sqrt().sum()
    squared_difference = (x.mean(0) - y.mean(0)).square().sum()
    distance = squared_difference + _covariance(x).trace() + _covariance(y).trace() - 2 * trace_of_root
    return distance.clamp(min=0).item()


def _covariance(x: Tensor) -> Tensor:
    centred = x - x.mean(0)
    return centred.T @ centred / (len(x) - 1)


def _square_root(positive: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(positive)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
