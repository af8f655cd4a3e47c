"""Random numbers keyed by what they are for, so that any step can be replayed alone.

The order of an epoch depends on (seed, epoch), the noise of a step on (seed, step): no generator state has to
be saved, and a resumed run sees exactly the numbers of one that never stopped.
"""

from zlib import crc32

import torch
from torch import Tensor

_MASK = (1 << 64) - 1


def key(seed: int, stream: str, index: int = 0) -> int:
    """A 64-bit seed for element `index` of a named stream (splitmix64 of the three)."""
    x = (seed * 0x9E3779B97F4A7C15 + crc32(stream.encode()) * 0xD1B54A32D192ED03 + index) & _MASK
    for shift, multiplier in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = ((x ^ (x >> shift)) * multiplier) & _MASK
    return (x ^ (x >> 31)) & (_MASK >> 1)


def reseed(seed: int, stream: str, index: int = 0) -> None:
    """Points torch's default generators at element `index` of a stream.

    The generators are seeded directly: `torch.manual_seed` takes a hundred times as long.
    """
    value = key(seed, stream, index)
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():
        torch.cuda.default_generators[torch.cuda.current_device()].manual_seed(value)


def permutation(seed: int, epoch: int, n: int) -> Tensor:
    """The order of the examples in an epoch, (n,), on the CPU."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(key(seed, "order", epoch)))


def uniform_like(x: Tensor) -> Tensor:
    """Uniform draws from the multiples of 2^-24 in [0, 1), of the shape, type (single or double) and device of x.

    On the CPU every 64 random bits make four draws of 16 bits; the eight bits below are one draw for the whole
    call. Each number by itself is as fine as one of `torch.rand`, for a third of its time, and two of a call
    depend on each other only through those last bits.
    """
    if x.device.type != "cpu":
        return torch.rand_like(x)
    num_words = (x.numel() + 3) // 4
    bits = torch.empty(num_words, dtype=torch.int64).random_(-(2**63), None)
    lanes = bits.view(torch.int16)[: x.numel()].view(x.shape).to(x.dtype)  # whole numbers in [-2^15, 2^15)
    below = torch.randint(256, (), dtype=x.dtype)
    return lanes.mul_(2.0**-16).add_(below.mul_(2.0**-24).add_(0.5))


def bernoulli(p: Tensor) -> Tensor:
    """Draws of 0 and 1, with probability p of a 1, of the shape and type of p."""
    return uniform_like(p).lt_(p)
