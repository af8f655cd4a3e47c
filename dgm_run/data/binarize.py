"""How grey levels become what a model sees: intensities in [0, 1], binary pixels, or dequantised values.

A log-likelihood means nothing without its binarisation: one RBM scores -86.3, -100.8 or -69.9 nats on MNIST
by this choice alone (Salakhutdinov & Murray 2008), so every result names it.
"""

import torch
from torch import Tensor

MODES = ("none", "threshold", "fixed", "dynamic")
LEAST_GAP = 2.0**-14
"""Least distance of the noise from the next level: for up to 256 levels, of more it grows with their number.

In single precision the sum of a level and its noise rounds by num_levels 2^-25, num_levels times a value by as much as
num_levels 2^-23.
"""


def intensities(levels: Tensor, num_levels: int) -> Tensor:
    """Levels 0 .. num_levels - 1 as k / (num_levels - 1), so that the ends are exactly 0 and 1."""
    return levels.to(torch.get_default_dtype()) / (num_levels - 1)


def threshold(levels: Tensor, num_levels: int) -> Tensor:
    """1 where the intensity is at least one half. Keeps the type of the levels."""
    return (2 * levels.int() >= num_levels - 1).to(levels.dtype)


def sample(levels: Tensor, num_levels: int, generator: torch.Generator | None = None) -> Tensor:
    """Binary pixels drawn with their intensity as probability. Keeps the type of the levels."""
    noise = torch.rand(levels.shape, generator=generator, device=levels.device, dtype=torch.float32)
    return (noise.mul_(num_levels - 1) < levels).to(levels.dtype)


def dequantize(levels: Tensor, num_levels: int, generator: torch.Generator | None = None) -> Tensor:
    """(k + u) / num_levels with u uniform on [0, 1): a density of it bounds the mass of the levels.

    No value reaches the next level: u ends a small gap before it.
    """
    gap = max(LEAST_GAP, num_levels * 2.0**-22)
    noise = torch.rand(levels.shape, generator=generator, device=levels.device, dtype=torch.float32)
    return ((levels + noise.clamp_(max=1 - gap)) / num_levels).to(torch.get_default_dtype())
