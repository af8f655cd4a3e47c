"""Random numbers keyed by what they are for, so that any step can be replayed alone.

The order of an epoch depends on (seed, epoch), the noise of a step on (seed, step): no generator state has to
be saved, and a resumed run sees exactly the numbers of one that never stopped.
"""

from zlib import crc32

import torch

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


def permutation(seed: int, epoch: int, n: int) -> torch.Tensor:
    """The order of the examples in an epoch, (n,), on the CPU."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(key(seed, "order", epoch)))
