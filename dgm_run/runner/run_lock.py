"""Locks a run folder: one process works in it, and a report sees whether one does.

Two files stand in the folder. `.lock` is empty: some systems let nobody read a locked file. `.holder` names the process
that holds it. It is removed at the end: one that stays behind is of a process that was killed.
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

LOCK = ".lock"
HOLDER = ".holder"

START_WAIT = 1.0
"""Seconds that a run waits for the lock. A report holds it for less than a millisecond at a time."""

NUM_LOOKS = 3
"""How often a report tries the lock before it believes that a run holds it. Another report may be looking too."""

LOOK_PAUSE = 0.01
"""Seconds between two looks."""


@contextmanager
def lock_run_folder(folder: Path) -> Iterator[None]:
    """Holds a run folder for this process while the block runs; makes it if it does not exist.

    Raises:
        CheckpointError: another run holds it, or it cannot be written.
    """
    holder = folder / HOLDER
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(folder / LOCK, timeout=START_WAIT))
            stack.callback(_remove, holder)
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        except Timeout:
            raise CheckpointError(f"{folder} is in use by {_read(holder) or 'another run'}") from None
        except OSError as error:
            raise CheckpointError(f"cannot write to the run folder {folder}: {error.strerror}") from None
        yield


def is_run_folder_locked(folder: Path) -> bool:
    """Whether a run is at work in a folder. The look makes no file and refuses no run that starts meanwhile.

    Where the lock cannot be tried, the file of the holder decides: a network file system may lock only what this
    process may write.
    """
    if not (folder / HOLDER).exists():
        return False
    try:
        return all(_is_held(folder / LOCK, pause) for pause in [0.0] + [LOOK_PAUSE] * (NUM_LOOKS - 1))
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
    """Opens a lock for writing where that is allowed. A run of somebody else can be looked at all the same."""
    try:
        return open(lock, "r+b")
    except PermissionError:
        return open(lock, "rb")


def _read(holder: Path) -> str:
    with suppress(OSError, ValueError):
        return holder.read_text(encoding="utf-8").strip()
    return ""


def _remove(holder: Path) -> None:
    with suppress(OSError):
        holder.unlink()
