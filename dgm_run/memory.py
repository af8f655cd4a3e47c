"""Memory that runs out: recognised in every library's words, and told in a line."""

import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dgm_run.errors import OutOfMemory

PHRASES = (
    *("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "ALLOC_FAILED"),
    *("Storage size calculation overflowed", "integer multiplication overflow", "array is too big"),
)
"""What torch, CUDA and NumPy say of a tensor that memory cannot hold, whatever the class of the error."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, or that a tensor is larger than any memory."""
    of_libraries = isinstance(error, RuntimeError | ValueError) and any(each in str(error) for each in PHRASES)
    return isinstance(error, MemoryError) or of_libraries


@contextmanager
def out_of_memory(advice: str, where: Callable[[], str] = str) -> Iterator[None]:
    """Turns an error of memory in the block into a line.

    Args:
        advice: what was too large and what to lower.
        where: asked how far the work had come.

    Raises:
        OutOfMemory: memory ran out.
    """
    try:
        yield
    except OutOfMemory:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(f"out of memory{where()}{_request(str(error))}: {advice}") from None


def refuse_larger_than_memory(num_bytes: float, what: str, advice: str) -> None:
    """Refuses what does not fit: Linux grants more memory than there is, and kills the process that uses it.

    Args:
        num_bytes: needed.
        what: needs them, in the plural.
        advice: what to lower.

    Raises:
        OutOfMemory: there is less.
    """
    free = available()
    if num_bytes > free:
        raise OutOfMemory(
            f"{what} need about {readable(num_bytes)} of memory, of which {readable(free)} are free: {advice}"
        )


def available() -> float:
    """Returns the bytes of memory that this process can still use; infinity where the system does not say it."""
    free = math.inf
    with suppress(AttributeError, ValueError):  # Windows has no sysconf, macOS has not this number
        free = float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024 * float(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    with suppress(OSError, ValueError):  # the limit of a container; "max" where there is none
        group = Path("/sys/fs/cgroup")
        free = min(free, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return free


def readable(num_bytes: float) -> str:
    """Returns a size in the unit that suits it: 372.5 GiB."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
    power = min(int(math.log2(max(num_bytes, 1))) // 10, len(units) - 1)
    return f"{num_bytes / 1024**power:.{1 if power else 0}f} {units[power]}"


def _request(message: str) -> str:
    """Returns how much was asked for, where the message says it."""
    if found := re.search(r"tried to allocate (\d+) bytes", message):
        return f" ({readable(int(found[1]))} asked for)"
    if found := re.search(r"(?:Tried|Unable) to allocate ([\d.]+ \w+)", message):
        return f" ({found[1]} asked for)"
    return ""
