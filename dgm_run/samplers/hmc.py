"""Hamiltonian Monte Carlo along a path of densities.

Sources: R. Neal, MCMC using Hamiltonian dynamics, 2011, https://arxiv.org/abs/1206.1901; R. Neal, Annealed importance
sampling, 2001, https://arxiv.org/abs/physics/9803008.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Point(NamedTuple):
    """States of chains, with the densities and gradients that a step needs at any temperature.

    Attributes:
        z: (*chains, L).
        log_base: log density of the base, (*chains,).
        log_target: log density of the target, (*chains,).
        grad_base: gradient of `log_base`, (*chains, L).
        grad_target: gradient of `log_target`, (*chains, L).
    """

    z: Tensor
    log_base: Tensor
    log_target: Tensor
    grad_base: Tensor
    grad_target: Tensor

    def log_unnormalized(self, beta: float) -> Tensor:
        """Computes the log density of base^(1 - beta) target^beta, unnormalised, (*chains,)."""
        return torch.lerp(self.log_base, self.log_target, beta)

    def gradient(self, beta: float) -> Tensor:
        """Computes the gradient of `log_unnormalized` in z, (*chains, L)."""
        return torch.lerp(self.grad_base, self.grad_target, beta)


LogDensities = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Function from z, (*chains, L), to the log densities of base and target, (*chains,) each, differentiable in z."""


def evaluate_point(z: Tensor, log_densities: LogDensities) -> Point:
    """Evaluates both densities and their gradients at z, (*chains, L)."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        log_base, log_target = log_densities(z)
        (grad_base,) = torch.autograd.grad(log_base.sum(), z, retain_graph=True)
        (grad_target,) = torch.autograd.grad(log_target.sum(), z)
    return Point(z.detach(), log_base.detach(), log_target.detach(), grad_base, grad_target)


def leapfrog(
    point: Point, momentum: Tensor, beta: float, step_size: Tensor, num_steps: int, log_densities: LogDensities
) -> tuple[Point, Tensor]:
    """Integrates point and momentum over `num_steps` leapfrog steps. The map is reversible by negating the momentum.

    Args:
        point: states of the chains.
        momentum: (*chains, L).
        beta: inverse temperature.
        step_size: step size, which broadcasts against (*chains, 1).
        num_steps: number of leapfrog steps.
        log_densities: log densities of base and target.
    """
    for _ in range(num_steps):
        momentum = momentum + 0.5 * step_size * point.gradient(beta)
        point = evaluate_point(point.z + step_size * momentum, log_densities)
        momentum = momentum + 0.5 * step_size * point.gradient(beta)
    return point, momentum


def hmc_step(
    point: Point, beta: float, step_size: Tensor, num_steps: int, log_densities: LogDensities
) -> tuple[Point, Tensor]:
    """Makes one Metropolis-adjusted trajectory of every chain, with the arguments of `leapfrog`.

    Returns:
        The new point, and the probability of acceptance, (*chains,).
    """
    momentum = torch.randn_like(point.z)
    proposed, end_momentum = leapfrog(point, momentum, beta, step_size, num_steps, log_densities)
    gain = proposed.log_unnormalized(beta) - point.log_unnormalized(beta)
    log_ratio = gain + 0.5 * (momentum.square() - end_momentum.square()).sum(-1)
    probability = log_ratio.clamp(max=0).exp().nan_to_num(0.0)  # a diverged trajectory is rejected
    is_accepted = torch.rand_like(probability) < probability
    fields = [_choose(is_accepted, new, old) for new, old in zip(proposed, point, strict=True)]
    return Point(*fields), probability


def _choose(is_accepted: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Returns the new values of the accepted chains, (*chains,) or (*chains, L), and the old ones of the others."""
    return torch.where(is_accepted if new.dim() == is_accepted.dim() else is_accepted.unsqueeze(-1), new, old)
