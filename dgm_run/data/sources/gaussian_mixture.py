"""Mixture of narrow Gaussians on a ring or a grid of the plane. Its known density shows which modes a model misses.

A. Srivastava et al., VEEGAN: Reducing mode collapse in GANs using implicit variational learning, 2017,
https://arxiv.org/abs/1705.07761 (8 on a ring, 25 on a grid).
"""

import math
from typing import Literal

import torch
from torch import Tensor

from dgm_run import rng
from dgm_run.data.split import RawSplit, RawSplits


class GaussianMixture:
    """Mixture of `num_modes` round Gaussians of equal weight in the plane.

    Args:
        arrangement: ring (means at even angles) | grid (square).
        num_modes: number of Gaussians; a square number for a grid.
        radius: radius of the ring; distance from the centre of a grid to its outermost rows.
        scale: standard deviation of each Gaussian.
        num_train, num_valid, num_test: numbers of examples.
        seed: seed of the draws.

    Attributes:
        means: means of the Gaussians, (num_modes, 2).

    Raises:
        ValueError: the modes make no square grid, or a number is not positive.
    """

    def __init__(
        self,
        arrangement: Literal["ring", "grid"],
        num_modes: int,
        radius: float,
        scale: float,
        num_train: int,
        num_valid: int,
        num_test: int,
        seed: int,
    ):
        if min(num_modes - 1, radius, scale, num_train, num_valid, num_test) <= 0:
            raise ValueError("num_modes must be at least 2; radius, scale, num_train, num_valid and num_test positive")
        side = math.isqrt(num_modes)
        if arrangement == "grid" and side**2 != num_modes:
            raise ValueError(
                f"num_modes = {num_modes} is no square number: set {side**2} or {(side + 1) ** 2} for a grid"
            )
        if arrangement == "grid":
            ticks = torch.linspace(-radius, radius, side, dtype=torch.float64)
            self.means = torch.cartesian_prod(ticks, ticks)
        else:
            angles = torch.arange(num_modes, dtype=torch.float64) * (2 * math.pi / num_modes)
            self.means = radius * torch.stack([angles.cos(), angles.sin()], -1)
        self.scale = scale
        self.seed = seed
        self.sizes = {"train": num_train, "valid": num_valid, "test": num_test}

    def __call__(self) -> RawSplits:
        splits = {name: self._draw(name, num) for name, num in self.sizes.items()}
        return RawSplits(splits["train"], splits["valid"], splits["test"])

    def _draw(self, name: str, num: int) -> RawSplit:
        generator = torch.Generator().manual_seed(rng.key(self.seed, name))
        mode = torch.randint(len(self.means), (num,), generator=generator)
        noise = torch.randn(num, 2, generator=generator, dtype=torch.float64)
        x = (self.means[mode] + self.scale * noise).float()
        return RawSplit(x, mode, self.log_prob(x))

    def log_prob(self, x: Tensor) -> Tensor:
        """Computes log p(x) of points (N, 2), nats, (N,)."""
        squares = torch.cdist(x.double(), self.means, compute_mode="donot_use_mm_for_euclid_dist").square()
        exponents = -0.5 * squares / self.scale**2
        return exponents.logsumexp(-1) - math.log(len(self.means) * 2 * math.pi * self.scale**2)
