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
    depend on each other only through those last bits. Where code is compiled the numbers are hashes of their
    places, which melt into the operations around them.
    """
    if x.device.type != "cpu":
        return torch.rand_like(x)
    if torch.compiler.is_compiling():
        return hashed_uniform_like(x)
    lanes, below = _lanes(x)
    return lanes.mul_(2.0**-16).add_(below.mul_(2.0**-24).add_(0.5))


def bernoulli(p: Tensor) -> Tensor:
    """Draws of 0 and 1, with probability p of a 1, of the shape and type of p: `uniform_like(p) < p`."""
    if p.dtype.itemsize < 4:
        return bernoulli(p.float()).to(p.dtype)  # its numbers are too coarse to draw in
    if p.device.type != "cpu":
        return torch.rand_like(p).lt_(p)
    if torch.compiler.is_compiling():
        return (hashed_uniform_like(p) < p).to(p.dtype)
    lanes, below = _lanes(p)
    return lanes.lt_(torch.add(below.mul_(-(2.0**-8)).sub_(2.0**15), p, alpha=2.0**16))  # both sides times 2^16


def hashed_uniform_like(x: Tensor) -> Tensor:
    """Uniform draws from the multiples of 2^-24 in [0, 1): splitmix64 of one random number and the place in x."""
    place = torch.arange(x.numel(), device=x.device).view(x.shape)
    z = (place + torch.randint(2**62, (), device=x.device)) * _signed(0x9E3779B97F4A7C15)
    for shift, multiplier in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ _shifted(z, shift)) * _signed(multiplier)
    return _shifted(z ^ _shifted(z, 31), 40).to(x.dtype) * 2.0**-24


def _signed(word: int) -> int:
    """The same 64 bits as a signed number."""
    return word - (1 << 64) if word >> 63 else word


def _shifted(z: Tensor, num_bits: int) -> Tensor:
    """To the right, with zeros from the left: the operator repeats the sign."""
    return (z >> num_bits) & ((1 << (64 - num_bits)) - 1)


def _lanes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers in [-2^15, 2^15), of the shape and type of x, and one in [0, 2^8) for all."""
    num_words = (x.numel() + 3) // 4
    bits = torch.empty(num_words, dtype=torch.int64).random_(-(2**63), None)
    lanes = bits.view(torch.int16)[: x.numel()].view(x.shape).to(x.dtype)
    return lanes, torch.randint(256, (), dtype=x.dtype)
