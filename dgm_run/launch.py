"""Starts the processes that train one model together, and starts them again when one of them dies.

The engine is torch's elastic launch. Its own restarts are not used: they may hang.
"""

import logging
import multiprocessing
import os
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from dgm_run import errors
from dgm_run.errors import TrainingError, UserError
from dgm_run.signals import Interrupted, stop_requests

RELAUNCHES = 3
"""How often a run goes on by itself after one of its processes has died."""


GRACE = 5.0
"""Seconds that a process which has lost another waits, so that the other is the first to be seen, with its reason."""


class Died(UserError):
    """One of the processes was killed, or lost another."""


def together(devices: int, work: Callable[..., Any], *arguments: Any) -> Any:
    """What `work(*arguments)` returns in the first of several processes, each of which does it.

    Args:
        devices: how many processes.
        work: a function at the top of a module.
        arguments: that can be pickled.

    Raises:
        UserError: one of them raised it; the others are ended.
        Interrupted: a signal stopped them all at a safe point.
        Died: one of them is no more; the others are ended.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL + 1)  # what went wrong is told by us
    with tempfile.TemporaryDirectory() as logs, stop_requests(_end_children) as stop:
        settings = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=devices,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
            signals_to_handle="",  # they are for the processes, which stop at a safe point
        )
        try:
            ended = elastic_launch(settings, _one_of_them)(work, arguments)[0]
        except ChildFailedError as error:
            if stop:
                raise Interrupted(stop.signum, "stopped") from None
            raise _told(*error.get_first_failure()) from None
    if "stopped" in ended:
        raise Interrupted(stop.signum or ended["stopped"], ended["message"])
    return ended["found"]


def _end_children(signum: int) -> None:
    """Every process is asked to stop; not by the same signal: two SIGINTs, one from the terminal, would end it."""
    for child in multiprocessing.active_children():
        os.kill(child.pid, signal.SIGTERM)


def _one_of_them(work: Callable[..., Any], arguments: tuple[Any, ...]) -> dict[str, Any]:
    try:
        return {"found": work(*arguments)}
    except Interrupted as stop:
        return {"stopped": stop.signum, "message": stop.message}
    except RuntimeError as error:
        said = str(error)
        if "imed out" in said:
            raise TrainingError(
                "no word from one of the processes for as long as trainer.hang_seconds: it hangs, and the run is "
                "ended; the last checkpoint is kept"
            ) from None
        if any(word in said for word in ("Connection", "Broken pipe", "Socket")):
            time.sleep(GRACE)
            raise Died("a process lost the connection to another") from None
        raise


def _told(rank: int, failure: ProcessFailure) -> Exception:
    """The error of the process that failed first."""
    if failure.exitcode < 0:
        name = signal.Signals(-failure.exitcode).name
        return Died(f"process {rank} was killed ({name})")
    record = failure.message
    if not isinstance(record, Mapping):
        return Died(f"process {rank} ended without a word (exit status {failure.exitcode})")
    name, _, message = record["message"].partition(": ")
    kind = Died if name == "Died" else getattr(errors, name, None)
    if kind is not None:
        return kind(message)
    return RuntimeError(f"process {rank} failed:\n{record['extraInfo']['py_callstack']}")
