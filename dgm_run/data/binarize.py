"""Binarisation: turns grey levels into intensities in [0, 1], binary pixels, or dequantised values.

A log-likelihood depends on it: one RBM has -86.3, -100.8 or -69.9 nats on MNIST by this choice alone
(Salakhutdinov & Murray 2008). Every result therefore names it.
"""

import torch
from torch import Tensor

MIN_GAP = 2.0**-14
"""Smallest distance of the noise from the next level, for up to 256 levels; it grows with more levels.

In single precision the sum of a level and its noise rounds by num_levels 2^-25, and num_levels times a value by up to
num_levels 2^-23.
"""


def find_kind(num_levels: int | None, binarize: str, dequantize: bool) -> str:
    """Returns the kind of the model's input: `binary`, `levels` (k / (num_levels - 1)) or `continuous`.

    Args:
        num_levels: grey levels of the data; None for real values.
        binarize, dequantize: settings of the data set.
    """
    if binarize != "none" or (num_levels == 2 and not dequantize):
        return "binary"
    return "levels" if num_levels and not dequantize else "continuous"


def to_intensities(levels: Tensor, num_levels: int) -> Tensor:
    """Scales levels 0 .. num_levels - 1 to k / (num_levels - 1), so that the ends are exactly 0 and 1."""
    return levels.to(torch.get_default_dtype()) / (num_levels - 1)


def threshold(levels: Tensor, num_levels: int) -> Tensor:
    """Sets pixels to 1 where the intensity is at least one half; keeps the type of the levels."""
    return (2 * levels.int() >= num_levels - 1).to(levels.dtype)


def sample(levels: Tensor, num_levels: int, generator: torch.Generator | None = None) -> Tensor:
    """Draws binary pixels with the intensity as probability of a 1; keeps the type of the levels."""
    noise = torch.rand(levels.shape, generator=generator, device=levels.device, dtype=torch.float32)
    return (noise.mul_(num_levels - 1) < levels).to(levels.dtype)


def dequantize(levels: Tensor, num_levels: int, generator: torch.Generator | None = None) -> Tensor:
    """Dequantises levels to (k + u) / num_levels with u uniform on [0, 1): its density bounds the mass of the levels.

    No value reaches the next level: u ends a small gap before it.
    """
    gap = max(MIN_GAP, num_levels * 2.0**-22)
    noise = torch.rand(levels.shape, generator=generator, device=levels.device, dtype=torch.float32)
    return ((levels + noise.clamp_(max=1 - gap)) / num_levels).to(torch.get_default_dtype())
