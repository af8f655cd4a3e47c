"""Asks a run to stop at the next safe point when the user or the system says so."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """The run stopped at a safe point because of a signal. A KeyboardInterrupt, so that it ends a sweep too.

    Attributes:
        signum: the signal.
        message: what was saved and how to go on.
    """

    def __init__(self, signum: int, message: str):
        super().__init__(message)
        self.signum, self.message = signum, message


STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a run to stop, of those that the system has: Windows has no SIGHUP."""

SIGPIPE = 13
"""The number of the signal that ends a command whose output nobody reads, on the systems that have it."""


class StopRequest:
    """Remembers the first signal that asks to stop; a second SIGINT interrupts at once.

    Args:
        told: called with each of them, where others have to know.
    """

    def __init__(self, told: Callable[[int], None] | None = None):
        self.signum = 0  # none yet
        self.told = told

    def __bool__(self) -> bool:
        return self.signum != 0

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.signum and signum == signal.SIGINT:
            raise KeyboardInterrupt
        self.signum = signum
        if self.told:
            self.told(signum)


@contextmanager
def stop_requests(told: Callable[[int], None] | None = None) -> Iterator[StopRequest]:
    """Handles `STOPPING` while the block runs; outside the main thread it changes nothing.

    A signal that is ignored stays ignored: `nohup` ignores SIGHUP, and a shell without job control ignores SIGINT
    for its background jobs, so that neither a closed terminal nor Ctrl-C in it ends them.
    """
    request = StopRequest(told)
    previous = {}
    try:
        for signum in STOPPING:
            if signal.getsignal(signum) != signal.SIG_IGN:
                previous[signum] = signal.signal(signum, request._handle)
    except ValueError:  # not in the main thread: signals are somebody else's
        pass
    try:
        yield request
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
