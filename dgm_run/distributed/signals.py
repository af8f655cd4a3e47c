"""Turns signals into requests to stop at the next safe point."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Stop of a run at a safe point after a signal. As a KeyboardInterrupt it also ends a sweep.

    Attributes:
        signum: number of the signal.
        message: text that says what was saved and how to resume.
    """

    def __init__(self, signum: int, message: str):
        super().__init__(message)
        self.signum = signum
        self.message = message


STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a run to stop. Windows has no SIGHUP."""

SIGPIPE = 13
"""Number of the signal that ends a command whose output nobody reads, on systems that have it."""


class StopRequest:
    """Request to stop, set by the first signal. A second SIGINT interrupts at once.

    Args:
        notify: receives the number of each signal; None for nobody.

    Attributes:
        signum: number of the last signal; 0 before the first.
    """

    def __init__(self, notify: Callable[[int], None] | None = None):
        self.signum = 0
        self.notify = notify

    def __bool__(self) -> bool:
        return self.signum != 0

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.signum and signum == signal.SIGINT:
            raise KeyboardInterrupt
        self.signum = signum
        if self.notify:
            self.notify(signum)


@contextmanager
def stop_requests(notify: Callable[[int], None] | None = None) -> Iterator[StopRequest]:
    """Handles `STOP_SIGNALS` while the block runs; changes nothing outside the main thread.

    An ignored signal stays ignored. `nohup` ignores SIGHUP, and a shell without job control ignores SIGINT for its
    background jobs. Neither a closed terminal nor Ctrl-C ends them.
    """
    request = StopRequest(notify)
    previous = {}
    try:
        for signum in STOP_SIGNALS:
            if signal.getsignal(signum) != signal.SIG_IGN:
                previous[signum] = signal.signal(signum, request._handle)
    except ValueError:  # outside the main thread signals cannot be handled
        pass
    try:
        yield request
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
