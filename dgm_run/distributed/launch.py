"""Starts the processes that train one model together, and tells what became of them.

The engine is torch's elastic launch, of commands: workers that are functions wait for one another at their ends, for
ever if one is killed there. Nor are its own restarts used: they may hang.
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
from dgm_run.recording.output import guarded

MAX_RESTARTS = 3
"""How often a run goes on by itself after one of its processes has died."""

STOP = "stop"
"""The file that asks processes to stop which have not begun."""

SET_DEATH_SIGNAL = 1
"""Of prctl(2)."""


def launch_workers(devices: int, work: Callable[..., Any], *arguments: Any) -> Any:
    """What `work(*arguments)` returns in the first of several processes, each of which does it.

    Args:
        devices: how many processes.
        work: a function at the top of a module.
        arguments: texts and numbers, as is what it returns, in lists and dicts or by themselves.

    Raises:
        UserError: one of them raised it; the others are ended.
        Interrupted: a signal stopped them all at a safe point.
        Died: one of them is no more; the others are ended.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL + 1)  # what went wrong is told by us
    with tempfile.TemporaryDirectory() as folder, stop_requests(partial(_end_all, Path(folder))) as stop:
        call = {"module": work.__module__, "name": work.__qualname__, "arguments": arguments, "parent": os.getpid()}
        (Path(folder) / "call.json").write_text(json.dumps(call))
        settings = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=devices,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",  # else that of the name of this machine, which may lead nowhere
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            signals_to_handle="",  # they are for the processes, which stop at a safe point
        )
        code = f"import sys; sys.path = {sys.path!r}; from dgm_run.distributed.launch import main; main({folder!r})"
        try:
            elastic_launch(settings, sys.executable)("-c", code)
        except ChildFailedError as error:
            if stop:
                raise Interrupted(stop.signum, "stopped") from None
            raise _told(error.failures) from None
        ended = json.loads((Path(folder) / "ended.json").read_text())
    if "stopped" in ended:
        raise Interrupted(stop.signum or ended["stopped"], ended["message"])
    return ended["found"]


def _end_all(folder: Path, signum: int) -> None:
    """Every process is asked to stop; not by the same signal: a second SIGINT would end it at once."""
    (folder / STOP).touch()  # for those that are not there yet
    for path in folder.glob("*.pid"):
        with suppress(ProcessLookupError):
            os.kill(int(path.stem), signal.SIGTERM)


def main(folder: str) -> None:
    """What each of the processes does; how the first one ends is left in the folder."""
    call = json.loads((Path(folder) / "call.json").read_text())
    with suppress(AttributeError, OSError, TypeError):  # Linux alone has it
        ctypes.CDLL(None).prctl(SET_DEATH_SIGNAL, signal.SIGTERM)  # nobody writes into a folder that is not held
    if os.getppid() != call["parent"]:
        sys.exit(1)
    (Path(folder) / f"{os.getpid()}.pid").touch()
    work = getattr(import_module(call["module"]), call["name"])
    try:
        stopped = (Path(folder) / STOP).exists()
        done = {"stopped": signal.SIGTERM, "message": "stopped"} if stopped else None
        with guarded():
            ended = done or record(_done)(work, call["arguments"])
    except BaseException:  # which the parent will tell
        sys.exit(1)
    if os.environ["RANK"] == "0":
        (Path(folder) / "ended.json").write_text(json.dumps(ended))


def _done(work: Callable[..., Any], arguments: list[Any]) -> dict[str, Any]:
    try:
        return {"found": work(*arguments)}
    except Interrupted as stop:
        return {"stopped": stop.signum, "message": stop.message}
    except OSError as error:
        raise UserError(str(error)) from None


def _told(failures: Mapping[int, ProcessFailure]) -> Exception:
    """The reason, of several what is not only a consequence of another."""
    found = [_reason(rank, failure) for rank, failure in failures.items()]
    return min(found, key=lambda error: isinstance(error, WorkerDied) + error.args[0].endswith("another"))


def _reason(rank: int, failure: ProcessFailure) -> Exception:
    told = failure.message
    if isinstance(told, Mapping):
        name, _, message = told["message"].partition(": ")
        kind = WorkerDied if name == "Died" else getattr(errors, name, None)
        return kind(message) if kind else RuntimeError(f"process {rank} failed:\n{told['extraInfo']['py_callstack']}")
    if failure.exitcode == -signal.SIGTERM:  # by the engine, after another
        return WorkerDied(f"process {rank} was ended after another")
    if failure.exitcode < 0:
        return WorkerDied(f"process {rank} was killed ({signal.Signals(-failure.exitcode).name})")
    return WorkerDied(f"process {rank} ended without a word (exit status {failure.exitcode})")
