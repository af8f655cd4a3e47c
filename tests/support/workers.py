"""Worker processes of one launch, forked from a server that has imported torch: real ones take seconds to start."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch.distributed as dist

from tests.support.tiny import FORK_SERVER


class Worker(NamedTuple):
    """A process of the launch, and the connection by which it sends its result or its error."""

    process: Any
    outcome: Connection

    def wait(self) -> Any:
        """Returns the result of the work, or the exception that ended it; the exit status of a killed process."""
        try:
            return self.outcome.recv()
        except EOFError:
            self.process.join()
            return self.process.exitcode


def open_store() -> dist.TCPStore:
    """Opens the store by which workers find each other, as a launcher does for all its attempts."""
    return dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)


@contextmanager
def start_workers(
    store: dist.TCPStore, attempt: int, work: Callable[..., Any], *arguments: Any, num: int = 2
) -> Iterator[list[Worker]]:
    """Starts `work(*arguments)` in several processes with the environment of torchrun; kills what is left of them."""
    workers = []
    for rank in range(num):
        environment = {
            **{"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": num, "LOCAL_WORLD_SIZE": num},
            **{"MASTER_ADDR": "localhost", "MASTER_PORT": store.port},
            **{"TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": attempt},
        }
        receiver, sender = FORK_SERVER.Pipe(duplex=False)
        values = {name: str(value) for name, value in environment.items()}
        process = FORK_SERVER.Process(target=_work, args=(sender, values, os.getcwd(), work, arguments))
        process.start()
        sender.close()
        workers.append(Worker(process, receiver))
    try:
        yield workers
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()


def run_together(work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Runs `work(*arguments)` in two processes; returns the result, or the exception, of each."""
    with start_workers(open_store(), 0, work, *arguments) as workers:
        return [worker.wait() for worker in workers]


def _work(
    sender: Connection, environment: dict[str, str], cwd: str, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    gc.freeze()  # what the server has imported
    os.environ |= environment
    os.chdir(cwd)
    try:
        sender.send(work(*arguments))
    except BaseException as error:
        sender.send(error)
