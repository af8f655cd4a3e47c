"""Processes that work on one run together: who they are, what they share out, and how they agree.

A process that is alone agrees with itself, at no cost. All of this goes over gloo, by way of the CPU; gradients have
an engine of their own (`distributed/data_parallel.py`).
"""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from dgm_run import rng
from dgm_run.distributed.ranks import is_worker
from dgm_run.errors import ConfigError, TrainingError, UserError

T = TypeVar("T")


class WorkerDied(UserError):
    """One of the processes was killed, or lost another."""


BARRIER_TIMEOUT = timedelta(days=1)
"""For what one process does while the others wait, as a download: one that dies meanwhile is seen all the same."""
LOST_PEER_WAIT = 5.0
"""Seconds that a process which has lost another waits, so that the other is seen to fail, with its reason."""

_joins = itertools.count()
_patient: dist.ProcessGroup | None = None
"""Waits for `BARRIER_TIMEOUT`."""


@contextmanager
def open_process_group(devices: int, seconds: float) -> Iterator[None]:
    """This process works with the others it was started with while the block runs.

    Args:
        devices: how many there are to be.
        seconds: without a word from one of them, after which the others give up.

    Raises:
        ConfigError: there are more or fewer.
        TrainingError: one of them hangs.
        Died: one of them is no more.
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
        raise _in_words(error) or error from None
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _join(timeout: timedelta) -> None:
    global _patient
    store, own, number = next(rendezvous("env://", timeout=timeout))
    # the addresses of those that were started before, or of the last job of a sweep, are in the same store
    attempt = f"{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/{next(_joins)}"
    apart = dist.PrefixStore(attempt, store)
    dist.init_process_group("gloo", store=apart, rank=own, world_size=number, timeout=timeout)
    group = dist.new_group(backend="gloo", timeout=BARRIER_TIMEOUT)
    assert isinstance(group, dist.ProcessGroup)  # this process is one of it
    _patient = group


def _in_words(error: RuntimeError) -> UserError | None:
    """What the user is told of an error of torch's, if it comes from another process."""
    said = str(error)
    if "imed out" in said or "timeout" in said:
        return TrainingError(
            "no word from one of the processes for as long as trainer.worker_timeout_seconds: it hangs, and the run is "
            "ended; the last checkpoint is kept"
        )
    if any(word in said for word in ("Connection", "Broken pipe", "Socket")):
        time.sleep(LOST_PEER_WAIT)
        return WorkerDied("a process lost the connection to another")
    return None


def size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this one, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """The number of this one among those on its machine."""
    return int(os.environ["LOCAL_RANK"]) if dist.is_initialized() else 0


def local_size() -> int:
    """How many of them there are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", size())) if dist.is_initialized() else 1


def is_main_process() -> bool:
    """Whether this is the one process that writes and speaks."""
    return rank() == 0


def all_reduce_sum(values: Tensor) -> Tensor:
    """The sum over the processes of a tensor that has one shape in all of them."""
    if size() == 1:
        return values
    summed = values.detach().cpu().contiguous().clone()
    dist.all_reduce(summed)
    return summed.to(values.device)


def all_gather(values: Tensor) -> Tensor:
    """What each process has, in their order: (...) -> (processes, ...)."""
    if size() == 1:
        return values[None]
    found = [torch.empty_like(values, device="cpu") for _ in range(size())]
    dist.all_gather(found, values.detach().cpu().contiguous())
    return torch.stack(found).to(values.device)


def all_reduce_max(*numbers: int) -> list[int]:
    """The largest of what the processes say, number by number."""
    if size() == 1:
        return list(numbers)
    agreed = torch.tensor(numbers)
    dist.all_reduce(agreed, dist.ReduceOp.MAX)
    return agreed.tolist()


def broadcast_from_main(make: Callable[[], T]) -> T:
    """What the writer makes, in all processes."""
    if size() == 1:
        return make()
    made: list[Any] = [make() if is_main_process() else None]  # it travels as a pickle
    dist.broadcast_object_list(made)
    return made[0]


def main_process_first(make: Callable[[], T]) -> T:
    """What each process makes, the others after the writer has: it may leave on the disk what they find there."""
    if size() == 1:
        return make()
    if not is_main_process():
        dist.barrier(_patient)
        return make()
    made = make()
    dist.barrier(_patient)
    return made


def map_blocks(
    n: int, block_size: int, find: Callable[[slice], dict[str, Tensor]], report: Callable[[int, int], None]
) -> dict[str, Tensor]:
    """What `find` has for each of n things, (n, ...) by name, block by block; the processes share the blocks.

    Each block draws random numbers of its own, so that the result does not depend on how many processes there are.

    Args:
        n: how many, at least one.
        block_size: at a time.
        find: given the positions of a block of B things, tensors (B, ...).
        report: told how far the work has come, as (things done, things in all); it may raise.
    """
    stream = new_stream()
    found: dict[str, Tensor] = {}

    def keep(block: slice, rows: dict[str, Tensor]) -> None:
        for name, values in rows.items():
            if name not in found:
                found[name] = values.new_zeros(n, *values.shape[1:])
            found[name][block] = values

    if rank() * block_size >= n:  # left without a block, it learns the shapes
        keep(slice(0), {name: values[:0] for name, values in find(slice(0, min(block_size, n))).items()})
    for_each_block(stream, n, block_size, lambda block: keep(block, find(block)), report)
    return {name: all_reduce_sum(rows) for name, rows in found.items()}


def for_each_block(
    stream: int, n: int, block_size: int, work: Callable[[slice], None], report: Callable[[int, int], None]
) -> None:
    """Does what `work` does for each block of n things that falls to this process.

    Args:
        stream: key of the random numbers, which each block has of its own.
        n: how many.
        block_size: at a time.
        work: given the positions of a block.
        report: told how far the work has come, as (things done, things in all); it may raise.
    """
    firsts = range(0, n, block_size)
    for i in range(rank(), len(firsts), size()):
        end = min(firsts[i] + block_size, n)
        rng.reseed(stream, "block", i)
        work(slice(firsts[i], end))
        report(end, n)
    rng.reseed(stream, "after")


def new_stream() -> int:
    """A key of random numbers, drawn from those of now."""
    return int(torch.randint(2**62, ()))


class NullSink:
    """Where the processes that do not write are told to: whatever it is told has no effect."""

    def __getattr__(self, name: str) -> Callable[..., int]:
        return self

    def __call__(self, *args: object, **kwargs: object) -> int:
        return 0


def null_sink(kind: type[T]) -> T:
    """Stands for a `kind` in the processes that do not write."""
    return cast(T, NullSink())
