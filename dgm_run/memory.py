"""Memory of this process: how much of it is kept, and errors that say that it is exhausted."""

import ctypes
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dgm_run.errors import OutOfMemory

MEMORY_PHRASES = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "ALLOC_FAILED",
    "Storage size calculation overflowed",
    "integer multiplication overflow",
    "array is too big",
)
"""Phrases in errors of torch, CUDA and NumPy about a tensor that memory cannot hold. Their classes differ."""

KEPT_BYTES = 1 << 30
"""Bytes of freed memory that a process keeps, and largest block that it keeps."""
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_freed_memory() -> None:
    """Keeps freed memory for the next tensors, where Linux's C library allows it.

    Otherwise it returns large blocks to the system and fetches them anew, and the first use of each page is a fault of
    its own: a third of the time of importance sampling.
    """
    if sys.platform != "linux":
        return
    with suppress(AttributeError):  # other C libraries than GNU's lack it
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, KEPT_BYTES)


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error says that memory ran out, or that a tensor is larger than any memory."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError | ValueError) and any(phrase in str(error) for phrase in MEMORY_PHRASES)


@contextmanager
def out_of_memory(advice: str, where: Callable[[], str] = str) -> Iterator[None]:
    """Turns exhausted memory in the block into a message of one line.

    Args:
        advice: text that says what was too large and what to lower.
        where: returns a text that says how far the work had come.

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
        raise OutOfMemory(f"out of memory{where()}{_describe_request(str(error))}: {advice}") from None


def refuse_larger_than_memory(num_bytes: float, what: str, advice: str) -> None:
    """Refuses a request that memory cannot hold, because Linux would grant it, and kill the process that uses it.

    Args:
        num_bytes: bytes that are needed.
        what: objects that need them, in the plural.
        advice: text that says what to lower.

    Raises:
        OutOfMemory: fewer bytes are free.
    """
    free = get_free_memory()
    if num_bytes > free:
        raise OutOfMemory(
            f"{what} need about {format_bytes(num_bytes)} of memory, of which {format_bytes(free)} are free: {advice}"
        )


def get_free_memory() -> float:
    """Returns the bytes of memory that this process can still use; infinity if the system does not report it."""
    free = math.inf
    with suppress(AttributeError, ValueError):  # Windows has no sysconf, macOS lacks this number
        free = float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024 * float(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    with suppress(OSError, ValueError):  # the limit of a container; "max" where there is none
        group = Path("/sys/fs/cgroup")
        free = min(free, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return free


def format_bytes(num_bytes: float) -> str:
    """Formats a size in a suitable unit, as in 372.5 GiB."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
    power = min(int(math.log2(max(num_bytes, 1))) // 10, len(units) - 1)
    return f"{num_bytes / 1024**power:.{1 if power else 0}f} {units[power]}"


def _describe_request(message: str) -> str:
    """Returns the requested amount in brackets if an error's message states it, else an empty text."""
    if match := re.search(r"tried to allocate (\d+) bytes", message):
        return f" ({format_bytes(int(match[1]))} asked for)"
    if match := re.search(r"(?:Tried|Unable) to allocate ([\d.]+ \w+)", message):
        return f" ({match[1]} asked for)"
    return ""
