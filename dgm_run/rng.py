"""Random numbers keyed by what they are for, so that any step can be replayed alone.

The order of an epoch depends on (seed, epoch), the noise of a step on (seed, step): no generator state has to
be saved, and a resumed run sees exactly the numbers of one that never stopped.
"""

from zlib import crc32

import torch
from torch import Tensor

_MASK = (1 << 64) - 1
RARE = 2.0**-16
"""Share of the draws of `bernoulli` that make up for what 16 bits cannot tell."""


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
    """Draws uniformly from [0, 1) in the shape, type (single or double) and device of x.

    Where code is compiled the numbers are hashes of their places, which melt into the operations around them.
    """
    return hashed_uniform_like(x) if _is_compiled_on_cpu(x) else torch.rand_like(x)


def bernoulli(p: Tensor) -> Tensor:
    """Draws 0 or 1 independently, with probability p of a 1, in the shape and type of p.

    On the CPU every 64 random bits make four draws, for little more than half the time of `torch.rand`. Its 16 bits
    decide a draw as a coin of probability k / 2^16 does, k a whole number near 2^16 p. One draw of 2^16, chosen at
    random, is a coin of another probability instead, by which both together have probability p within 2^-24.
    """
    if p.dtype.itemsize < 4:
        return bernoulli(p.float()).to(p.dtype)  # its numbers are too coarse to draw in
    if _is_compiled_on_cpu(p):
        return (hashed_uniform_like(p) < p).to(p.dtype)
    if p.device.type != "cpu":
        return torch.rand_like(p).lt_(p)
    # a draw of 16 bits, in [-2^15, 2^15), is a 1 where it is at most the limit
    limit = torch.add(p.new_full((), -1.0 - 2**15), p, alpha=2**16 / (1 - RARE))
    draws = _sixteen_bits(p).le_(limit)
    _redraw_rarely(draws, p, limit)
    return draws


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


def _is_compiled_on_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and torch.compiler.is_compiling()


def _sixteen_bits(x: Tensor) -> Tensor:
    """Whole numbers in [-2^15, 2^15), of the shape and type of x."""
    words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.int16)[: x.numel()].to(x.dtype).view_as(x)


def _redraw_rarely(draws: Tensor, p: Tensor, limit: Tensor) -> None:
    """Draws each element anew with probability `RARE`: a 1 with probability r, p = (1 - RARE) k / 2^16 + RARE r.

    Args:
        draws: 0 or 1, changed in place; contiguous.
        p: probabilities of a 1.
        limit: the largest draw of 16 bits that is a 1, and less than 1 more.
    """
    scalar = torch.empty((), dtype=torch.float64)
    place = scalar.geometric_(RARE).item() - 1  # all gaps between such elements are geometric
    if place >= draws.numel():
        return
    draws = draws.view(-1)
    p = p.reshape(-1)
    limit = limit.reshape(-1)
    while place < len(draws):
        i = int(place)
        k = min(max(limit[i].item() // 1 + 1 + 2**15, 0), 2**16)  # of 2^16 draws of 16 bits are a 1
        r = (p[i].item() - (1 - RARE) * k / 2**16) / RARE
        draws[i] = scalar.uniform_().item() < r
        place += scalar.geometric_(RARE).item()
