"""Transforms of images that make out-of-distribution examples without any file."""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm_run import rng

NOISE = 0.1
"""Standard deviation of the noise added to intensities, and share of binary pixels that are flipped."""


def is_binary(x: Tensor) -> bool:
    return bool(((x == 0) | (x == 1)).all())


def blacken(x: Tensor) -> Tensor:
    return torch.zeros_like(x)


def halve_contrast(x: Tensor) -> Tensor:
    """Halves the intensities; drops half the ones of binary pixels at random."""
    return x * rng.bernoulli(torch.full_like(x, 0.5)) if is_binary(x) else 0.5 * x


def invert(x: Tensor) -> Tensor:
    return 1 - x


def rotate(x: Tensor) -> Tensor:
    """Rotates images by 90 degrees, or by 180 degrees where they are not square."""
    return x.rot90(1 if x.shape[-1] == x.shape[-2] else 2, (-2, -1))


def mirror(x: Tensor) -> Tensor:
    return x.flip(-1)


def shuffle(x: Tensor) -> Tensor:
    """Permutes the pixels by one random order for all images."""
    order = torch.randperm(x[0].numel(), device=x.device)
    return x.flatten(1)[:, order].view_as(x)


def add_noise(x: Tensor) -> Tensor:
    """Adds Gaussian noise to intensities, or flips binary pixels, at the rate `NOISE`."""
    if is_binary(x):
        return (x - rng.bernoulli(torch.full_like(x, NOISE))).abs()
    return (x + NOISE * torch.randn_like(x)).clamp(0, 1)


def replace_by_noise(x: Tensor) -> Tensor:
    """Draws every pixel from a uniform distribution."""
    uniform = torch.rand_like(x)
    return uniform.round() if is_binary(x) else uniform


TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "black": blacken,
    "half_contrast": halve_contrast,
    "inverted": invert,
    "rotated": rotate,
    "mirrored": mirror,
    "shuffled": shuffle,
    "noisy": add_noise,
    "noise": replace_by_noise,
}
"""Transforms by the names that the configuration and the results use."""
