"""Images made into others that the data do not hold, without any file: what a model should know to be strange."""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm_run import rng

NOISE = 0.1
"""Standard deviation of what is added to intensities, and share of binary pixels that are flipped."""


def is_binary(x: Tensor) -> bool:
    return bool(((x == 0) | (x == 1)).all())


def black(x: Tensor) -> Tensor:
    return torch.zeros_like(x)


def half_contrast(x: Tensor) -> Tensor:
    """Half the intensity; of binary pixels half the ones."""
    return x * rng.bernoulli(torch.full_like(x, 0.5)) if is_binary(x) else 0.5 * x


def inverted(x: Tensor) -> Tensor:
    return 1 - x


def rotated(x: Tensor) -> Tensor:
    """By a quarter; upside down where images are not square."""
    return x.rot90(1 if x.shape[-1] == x.shape[-2] else 2, (-2, -1))


def mirrored(x: Tensor) -> Tensor:
    return x.flip(-1)


def shuffled(x: Tensor) -> Tensor:
    """The pixels in another order, the same for all images."""
    order = torch.randperm(x[0].numel(), device=x.device)
    return x.flatten(1)[:, order].view_as(x)


def noisy(x: Tensor) -> Tensor:
    """With noise added to intensities, or binary pixels flipped, at `NOISE`."""
    if is_binary(x):
        return (x - rng.bernoulli(torch.full_like(x, NOISE))).abs()
    return (x + NOISE * torch.randn_like(x)).clamp(0, 1)


def noise(x: Tensor) -> Tensor:
    """Nothing else: every pixel uniform."""
    uniform = torch.rand_like(x)
    return uniform.round() if is_binary(x) else uniform


TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {
    each.__name__: each for each in (black, half_contrast, inverted, rotated, mirrored, shuffled, noisy, noise)
}
