"""Process group of a run: ranks, reductions, and work that the processes share in blocks.

A single process needs no communication. The group uses gloo, on the CPU. `distributed/data_parallel.py` exchanges
gradients.
"""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from dgm_run import rng
from dgm_run.distributed.ranks import is_worker
from dgm_run.errors import ConfigError, TrainingError, UserError

T = TypeVar("T")


class WorkerDied(UserError):
    """Error of a process that was killed, or lost the connection to another."""


BARRIER_TIMEOUT = timedelta(days=1)
"""Longest wait for the work of one process, such as a download. The death of a process is noticed earlier."""
LOST_PEER_WAIT = 5.0
"""Seconds that a process waits after it lost another, so that the launcher sees the other's error first."""

_group_numbers = itertools.count()
_barrier_group: dist.ProcessGroup | None = None
"""Process group whose operations wait for `BARRIER_TIMEOUT`."""


@contextmanager
def open_process_group(devices: int, seconds: float) -> Iterator[None]:
    """Joins this process and the others of its launch in a process group while the block runs.

    Args:
        devices: expected number of processes.
        seconds: longest time without a message from a process, after which the others stop.

    Raises:
        ConfigError: the number of processes differs.
        TrainingError: a process hangs.
        WorkerDied: a process died.
    """
    if not is_worker():
        yield
        return
    try:
        _join(timedelta(seconds=seconds))
        if size() != devices:
            raise ConfigError(f"trainer.devices={devices}, and {size()} processes were started: set it to {size()}")
        yield
    except RuntimeError as error:
        raise _describe_peer_error(error) or error from None
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _join(timeout: timedelta) -> None:
    global _barrier_group
    store, own, number = next(rendezvous("env://", timeout=timeout))
    # the store also holds addresses of former attempts, and of the last job of a sweep
    attempt = f"{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/{next(_group_numbers)}"
    own_store = dist.PrefixStore(attempt, store)
    dist.init_process_group("gloo", store=own_store, rank=own, world_size=number, timeout=timeout)
    group = dist.new_group(backend="gloo", timeout=BARRIER_TIMEOUT)
    assert isinstance(group, dist.ProcessGroup)  # this process belongs to it
    _barrier_group = group


def _describe_peer_error(error: RuntimeError) -> UserError | None:
    """Returns an error with a message for the user if another process caused it; None for any other error."""
    message = str(error)
    if "imed out" in message or "timeout" in message:
        return TrainingError(
            "a process sent no message for trainer.worker_timeout_seconds: it hangs, and the run is ended; "
            "the last checkpoint is kept"
        )
    if any(word in message for word in ("Connection", "Broken pipe", "Socket")):
        time.sleep(LOST_PEER_WAIT)
        return WorkerDied("a process lost the connection to another")
    return None


def size() -> int:
    """Returns the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Returns the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """Returns the number of this process among those on its machine, from 0."""
    return int(os.environ["LOCAL_RANK"]) if dist.is_initialized() else 0


def local_size() -> int:
    """Returns the number of processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", size())) if dist.is_initialized() else 1


def is_main_process() -> bool:
    """Returns whether this is the one process that writes files and prints."""
    return rank() == 0


def all_reduce_sum(values: Tensor) -> Tensor:
    """Sums a tensor of equal shapes over the processes."""
    if size() == 1:
        return values
    total = values.detach().cpu().contiguous().clone()
    dist.all_reduce(total)
    return total.to(values.device)


def all_gather(values: Tensor) -> Tensor:
    """Gathers the tensors of all processes, in their order: (...) -> (processes, ...)."""
    if size() == 1:
        return values[None]
    gathered = [torch.empty_like(values, device="cpu") for _ in range(size())]
    dist.all_gather(gathered, values.detach().cpu().contiguous())
    return torch.stack(gathered).to(values.device)


def all_reduce_max(*numbers: int) -> list[int]:
    """Returns the maximum over the processes of each number."""
    if size() == 1:
        return list(numbers)
    maxima = torch.tensor(numbers)
    dist.all_reduce(maxima, dist.ReduceOp.MAX)
    return maxima.tolist()


def broadcast_from_main(make: Callable[[], T]) -> T:
    """Calls `make` in the main process, and returns its result in all processes."""
    if size() == 1:
        return make()
    made: list[Any] = [make() if is_main_process() else None]  # it travels as a pickle
    dist.broadcast_object_list(made)
    return made[0]


def main_process_first(make: Callable[[], T]) -> T:
    """Calls `make` in the main process first, then in the others, which find its files on the disk."""
    if size() == 1:
        return make()
    if not is_main_process():
        dist.barrier(_barrier_group)
        return make()
    made = make()
    dist.barrier(_barrier_group)
    return made


def map_blocks(
    n: int, block_size: int, find: Callable[[slice], dict[str, Tensor]], report: Callable[[int, int], None]
) -> dict[str, Tensor]:
    """Computes values for n items in blocks, which the processes share: (n, ...) by name.

    Each block has random numbers of its own, so that the result does not depend on the number of processes.

    Args:
        n: number of items, at least one.
        block_size: items of a block.
        find: positions of a block of B items -> tensors (B, ...) by name.
        report: receives the progress as (items done, items in all); it may raise.
    """
    stream = new_stream()
    results: dict[str, Tensor] = {}

    def store(block: slice, rows: dict[str, Tensor]) -> None:
        for name, values in rows.items():
            if name not in results:
                results[name] = values.new_zeros(n, *values.shape[1:])
            results[name][block] = values

    if rank() * block_size >= n:  # a process without a block still needs the shapes
        store(slice(0), {name: values[:0] for name, values in find(slice(0, min(block_size, n))).items()})
    for_each_block(stream, n, block_size, lambda block: store(block, find(block)), report)
    return {name: all_reduce_sum(rows) for name, rows in results.items()}


def for_each_block(
    stream: int, n: int, block_size: int, work: Callable[[slice], None], report: Callable[[int, int], None]
) -> None:
    """Calls `work` for each block of n items that this process takes.

    Args:
        stream: key of the random numbers, from which each block gets its own.
        n: number of items.
        block_size: items of a block.
        work: receives the positions of a block.
        report: receives the progress as (items done, items in all); it may raise.
    """
    firsts = range(0, n, block_size)
    for i in range(rank(), len(firsts), size()):
        end = min(firsts[i] + block_size, n)
        rng.reseed(stream, "block", i)
        work(slice(firsts[i], end))
        report(end, n)
    rng.reseed(stream, "after")


def new_stream() -> int:
    """Draws a key of random numbers from the current generator."""
    return int(torch.randint(2**62, ()))
