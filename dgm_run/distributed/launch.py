"""Starts worker processes that train one model together, and returns their result or raises their error.

torch's elastic launch starts each worker as a command. It can also start functions, but these wait for each other at
their ends, forever if one is killed. The launcher's own restarts are not used, because they may hang.
"""

import ctypes
import json
import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure, record
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from dgm_run import errors
from dgm_run.distributed.process_group import WorkerDied
from dgm_run.distributed.signals import Interrupted, stop_requests
from dgm_run.errors import UserError
from dgm_run.recording.output import guard_output

MAX_RESTARTS = 3
"""Number of automatic restarts of a run after one of its processes died."""

STOP_FILE = "stop"
"""File that asks processes to stop if they have not started yet."""

PR_SET_PDEATHSIG = 1
"""Option of prctl(2): the signal that a process gets when its parent dies."""


def launch_workers(devices: int, work: Callable[..., Any], *arguments: Any) -> Any:
    """Calls `work(*arguments)` in several processes, and returns the result of process 0.

    Args:
        devices: number of processes.
        work: function at the top of a module, whose result JSON can hold.
        arguments: arguments of the function, which JSON can hold.

    Raises:
        UserError: a process raised it; the others are ended.
        Interrupted: a signal stopped all processes at a safe point.
        WorkerDied: a process died; the others are ended.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL + 1)  # this function reports errors
    with tempfile.TemporaryDirectory() as folder, stop_requests(partial(_stop_workers, Path(folder))) as stop:
        call = {"module": work.__module__, "name": work.__qualname__, "arguments": arguments, "parent": os.getpid()}
        (Path(folder) / "call.json").write_text(json.dumps(call))
        settings = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=devices,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",  # the machine's host name may not resolve
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            signals_to_handle="",  # the processes handle signals, and stop at a safe point
        )
        code = f"import sys; sys.path = {sys.path!r}; from dgm_run.distributed.launch import main; main({folder!r})"
        try:
            elastic_launch(settings, sys.executable)("-c", code)
        except ChildFailedError as error:
            if stop:
                raise Interrupted(stop.signum, "stopped") from None
            raise _choose_cause(error.failures) from None
        outcome = json.loads((Path(folder) / "outcome.json").read_text())
    if "stopped" in outcome:
        raise Interrupted(stop.signum or outcome["stopped"], outcome["message"])
    return outcome["result"]


def _stop_workers(folder: Path, signum: int) -> None:
    """Asks every process to stop by SIGTERM: a second SIGINT would end it at once."""
    (folder / STOP_FILE).touch()  # for processes that have not started yet
    for path in folder.glob("*.pid"):
        with suppress(ProcessLookupError):
            os.kill(int(path.stem), signal.SIGTERM)


def main(folder: str) -> None:
    """Runs the work in a worker process. Process 0 writes its outcome into the folder."""
    call = json.loads((Path(folder) / "call.json").read_text())
    with suppress(AttributeError, OSError, TypeError):  # only Linux has prctl
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # an orphan would write into an unlocked folder
    if os.getppid() != call["parent"]:
        sys.exit(1)
    (Path(folder) / f"{os.getpid()}.pid").touch()
    work = getattr(import_module(call["module"]), call["name"])
    try:
        has_to_stop = (Path(folder) / STOP_FILE).exists()
        stop = {"stopped": signal.SIGTERM, "message": "stopped"} if has_to_stop else None
        with guard_output():
            outcome = stop or record(_run_work)(work, call["arguments"])
    except BaseException:  # the parent process reports it
        sys.exit(1)
    if os.environ["RANK"] == "0":
        (Path(folder) / "outcome.json").write_text(json.dumps(outcome))


def _run_work(work: Callable[..., Any], arguments: list[Any]) -> dict[str, Any]:
    """Returns the result of the work, or the signal that stopped it."""
    try:
        return {"result": work(*arguments)}
    except Interrupted as stop:
        return {"stopped": stop.signum, "message": stop.message}
    except OSError as error:
        raise UserError(str(error)) from None


def _choose_cause(failures: Mapping[int, ProcessFailure]) -> Exception:
    """Returns the first cause among the errors of the processes: the other errors follow from it."""
    found = [_make_error(rank, failure) for rank, failure in failures.items()]
    # an error of a process comes before its death, and its death before that of a process which lost another
    return min(found, key=lambda error: isinstance(error, WorkerDied) + error.args[0].endswith("another"))


def _make_error(rank: int, failure: ProcessFailure) -> Exception:
    """Makes the exception of a failed process, of the class that it raised if dgm_run defines it."""
    record = failure.message
    if isinstance(record, Mapping):
        name, _, message = record["message"].partition(": ")
        kind = WorkerDied if name == WorkerDied.__name__ else getattr(errors, name, None)
        return kind(message) if kind else RuntimeError(f"process {rank} failed:\n{record['extraInfo']['py_callstack']}")
    if failure.exitcode == -signal.SIGTERM:  # the launcher ends the others after a failure
        return WorkerDied(f"process {rank} was ended after another")
    if failure.exitcode < 0:
        return WorkerDied(f"process {rank} was killed ({signal.Signals(-failure.exitcode).name})")
    return WorkerDied(f"process {rank} ended without a message (exit status {failure.exitcode})")
