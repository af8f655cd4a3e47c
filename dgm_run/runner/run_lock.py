"""Locks a run folder for one process, and checks the lock for a report.

The folder has two files. `.lock` is empty, because some systems forbid reading a locked file. `.holder` names the
process that holds the lock. The process removes it at its end; a killed process leaves it behind.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout, lock_descriptor, unlock_descriptor

from dgm_run.errors import CheckpointError

LOCK_FILE = ".lock"
HOLDER_FILE = ".holder"

START_WAIT = 1.0
"""Seconds that a run waits for the lock. A report holds it for less than a millisecond at a time."""

NUM_ATTEMPTS = 3
"""Number of attempts of a report before it concludes that a run holds the lock: another report may hold it briefly."""

ATTEMPT_PAUSE = 0.01
"""Seconds between two attempts."""


@contextmanager
def lock_run_folder(folder: Path) -> Iterator[None]:
    """Locks a run folder for this process while the block runs; makes the folder if it does not exist.

    Raises:
        CheckpointError: another run holds it, or it cannot be written.
    """
    holder = folder / HOLDER_FILE
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(folder / LOCK_FILE, timeout=START_WAIT))
            stack.callback(_remove_holder, holder)
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        except Timeout:
            raise CheckpointError(f"{folder} is in use by {_read_holder(holder) or 'another run'}") from None
        except OSError as error:
            raise CheckpointError(f"cannot write to the run folder {folder}: {error.strerror}") from None
        yield


def is_run_folder_locked(folder: Path) -> bool:
    """Returns whether a run holds the lock of a folder. The check makes no file, and blocks no run that starts.

    If the lock cannot be tried, the file of the holder decides: a network file system may lock only files that this
    process may write.
    """
    if not (folder / HOLDER_FILE).exists():
        return False
    try:
        return all(_is_held(folder / LOCK_FILE, pause) for pause in [0.0] + [ATTEMPT_PAUSE] * (NUM_ATTEMPTS - 1))
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _is_held(lock: Path, pause: float) -> bool:
    time.sleep(pause)
    with _open(lock) as handle:
        if not lock_descriptor(handle.fileno(), blocking=False):
            return True
        unlock_descriptor(handle.fileno())
        return False


def _open(lock: Path) -> BinaryIO:
    """Opens a lock for writing if that is allowed, else for reading: the run may belong to another user."""
    try:
        return open(lock, "r+b")
    except PermissionError:
        return open(lock, "rb")


def _read_holder(holder: Path) -> str:
    with suppress(OSError, ValueError):
        return holder.read_text(encoding="utf-8").strip()
    return ""


def _remove_holder(holder: Path) -> None:
    with suppress(OSError):
        holder.unlink()
