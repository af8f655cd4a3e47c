"""Random numbers keyed by their purpose, so that any step can be replayed alone.

The order of an epoch depends on (seed, epoch), and the noise of a step on (seed, step). No generator state has to be
saved. A resumed run draws exactly the numbers of an uninterrupted run.
"""

from zlib import crc32

import torch
from torch import Tensor

_MASK_64_BITS = (1 << 64) - 1
REDRAW_PROBABILITY = 2.0**-16
"""Probability that `bernoulli` draws an element again, which corrects the rounding of p to 16 bits."""


def key(seed: int, stream: str, index: int = 0) -> int:
    """Hashes seed, stream and index to a 63-bit seed, by splitmix64."""
    x = (seed * 0x9E3779B97F4A7C15 + crc32(stream.encode()) * 0xD1B54A32D192ED03 + index) & _MASK_64_BITS
    for shift, multiplier in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = ((x ^ (x >> shift)) * multiplier) & _MASK_64_BITS
    return (x ^ (x >> 31)) & (_MASK_64_BITS >> 1)


def reseed(seed: int, stream: str, index: int = 0) -> None:
    """Seeds torch's default generators for element `index` of a stream.

    The generators are seeded directly: `torch.manual_seed` takes a hundred times as long.
    """
    value = key(seed, stream, index)
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():
        torch.cuda.default_generators[torch.cuda.current_device()].manual_seed(value)


def permutation(seed: int, epoch: int, n: int) -> Tensor:
    """Draws the order of the examples in an epoch, (n,), on the CPU."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(key(seed, "order", epoch)))


def uniform_like(x: Tensor) -> Tensor:
    """Draws uniformly from [0, 1) in the shape, type (single or double) and device of x.

    In compiled code the numbers are hashes of their positions, which the compiler fuses with other operations.
    """
    return hashed_uniform_like(x) if _is_compiled_on_cpu(x) else torch.rand_like(x)


def bernoulli(p: Tensor) -> Tensor:
    """Draws 0 or 1 independently, with probability p of a 1, in the shape and type of p.

    On the CPU 64 random bits give four draws, in little more than half the time of `torch.rand`. The 16 bits of a draw
    give probability k / 2^16, with k a whole number near 2^16 p. One draw in 2^16, chosen at random, is drawn again
    with another probability. Both together have probability p within 2^-24.
    """
    if p.dtype.itemsize < 4:
        return bernoulli(p.float()).to(p.dtype)  # 16-bit floats are too coarse for the draws
    if _is_compiled_on_cpu(p):
        return (hashed_uniform_like(p) < p).to(p.dtype)
    if p.device.type != "cpu":
        return torch.rand_like(p).lt_(p)
    # a draw of 16 bits, in [-2^15, 2^15), is a 1 where it is at most the limit
    limit = torch.add(p.new_full((), -1.0 - 2**15), p, alpha=2**16 / (1 - REDRAW_PROBABILITY))
    draws = _draw_16_bits(p).le_(limit)
    _redraw_rarely(draws, p, limit)
    return draws


def hashed_uniform_like(x: Tensor) -> Tensor:
    """Draws uniformly from the multiples of 2^-24 in [0, 1), in the shape, type and device of x.

    Each number is the splitmix64 hash of one random number plus its position in x.
    """
    position = torch.arange(x.numel(), device=x.device).view(x.shape)
    z = (position + torch.randint(2**62, (), device=x.device)) * _to_signed(0x9E3779B97F4A7C15)
    for shift, multiplier in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ _shift_right(z, shift)) * _to_signed(multiplier)
    return _shift_right(z ^ _shift_right(z, 31), 40).to(x.dtype) * 2.0**-24


def _to_signed(word: int) -> int:
    """Reads 64 bits as a signed number."""
    return word - (1 << 64) if word >> 63 else word


def _shift_right(z: Tensor, num_bits: int) -> Tensor:
    """Shifts bits to the right and fills in zeros; torch's operator repeats the sign."""
    return (z >> num_bits) & ((1 << (64 - num_bits)) - 1)


def _is_compiled_on_cpu(x: Tensor) -> bool:
    """Returns whether torch.compile traces this call for the CPU, where it cannot fuse torch's generator."""
    return x.device.type == "cpu" and torch.compiler.is_compiling()


def _draw_16_bits(x: Tensor) -> Tensor:
    """Draws whole numbers in [-2^15, 2^15), in the shape and type of x."""
    words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.int16)[: x.numel()].to(x.dtype).view_as(x)


def _redraw_rarely(draws: Tensor, p: Tensor, limit: Tensor) -> None:
    """Draws each element again with probability R = `REDRAW_PROBABILITY`.

    A new draw is 1 with probability r, where p = (1 - R) k / 2^16 + R r.

    Args:
        draws: 0 or 1, contiguous; changed in place.
        p: probabilities of a 1.
        limit: largest draw of 16 bits that gives a 1, plus less than 1.
    """
    scalar = torch.empty((), dtype=torch.float64)
    position = scalar.geometric_(REDRAW_PROBABILITY).item() - 1  # gaps between chosen elements are geometric
    if position >= draws.numel():
        return
    draws = draws.view(-1)
    p = p.reshape(-1)
    limit = limit.reshape(-1)
    while position < len(draws):
        i = int(position)
        k = min(max(limit[i].item() // 1 + 1 + 2**15, 0), 2**16)  # number of the 2^16 possible draws that give a 1
        r = (p[i].item() - (1 - REDRAW_PROBABILITY) * k / 2**16) / REDRAW_PROBABILITY
        draws[i] = scalar.uniform_().item() < r
        position += scalar.geometric_(REDRAW_PROBABILITY).item()
