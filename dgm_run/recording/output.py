"""Guards standard output and error: text that cannot be written is dropped, and the command continues.

A pipe may be closed, a disk full, a terminal gone, or a character missing in the encoding. None of these is a reason
to lose a training.
"""

import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, ClassVar

ASCII_SUBSTITUTES = {
    **{"±": "+-", "→": "->", "←": "<-", "×": "x", "−": "-", "–": "-", "—": "-", "…": "...", "≥": ">=", "≤": "<="},
    **{"‘": "'", "’": "'", "“": '"', "”": '"', "━": "-", "·": ".", "│": "|"},
}
"""ASCII text for characters that an encoding may lack."""


class Output:
    """Text stream that drops text it cannot write, instead of raising an error.

    Args:
        target: stream to write to; None if the process was started without it.

    Attributes:
        lost: error after which nothing can be written; None as long as writing works.
        before_write: function that clears the progress bar before every write to a guarded stream; None for no bar.
    """

    before_write: ClassVar[Callable[[], None] | None] = None

    def __init__(self, target: IO[str] | None):
        self.lost: OSError | ValueError | None = None
        if target is None:
            self.lost = ValueError("it was closed from the start")
            target = open(os.devnull, "w")  # noqa: SIM115 - open as long as the process is
        self.target = target

    def __getattr__(self, name: str) -> Any:
        if name == "target":  # it is being unpickled
            raise AttributeError(name)
        return getattr(self.target, name)

    @property
    def encoding(self) -> str:
        return getattr(self.target, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        if text and Output.before_write:
            Output.before_write()
        return self.draw(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def draw(self, text: str) -> int:
        """Writes without a call of `before_write`, for the progress bar itself."""
        self._attempt(lambda: self._encode(text))
        return len(text)

    def flush(self) -> None:
        self._attempt(self.target.flush)

    def isatty(self) -> bool:
        return bool(self._attempt(self.target.isatty))

    def _encode(self, text: str) -> None:
        try:
            self.target.write(text)
        except UnicodeEncodeError:
            self.target.write(replace_unencodable(text, self.encoding))

    def _attempt(self, act: Callable[[], Any]) -> Any:
        if self.lost:
            return None
        try:
            return act()
        except BlockingIOError:  # the reader is slow, not gone
            return None
        except (OSError, ValueError) as error:
            self.lost = error
            self._redirect()
            return None

    def _redirect(self) -> None:
        """Redirects buffered text to the null device: the interpreter would fail to write it at its end."""
        with suppress(OSError, ValueError, AttributeError):
            descriptor = self.target.fileno()
            if descriptor in (1, 2):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, descriptor)
                os.close(null)


def guard(stream: IO[str] | Output | None) -> Output:
    """Guards a stream; returns a guarded stream unchanged."""
    return stream if isinstance(stream, Output) else Output(stream)


@contextmanager
def guard_output() -> Iterator[None]:
    """Guards standard output and error while the block or the decorated command runs."""
    _fill_descriptors()
    before = sys.stdout, sys.stderr
    streams = [guard(stream) for stream in before]
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        for stream in streams:
            stream.flush()
        sys.stdout, sys.stderr = before


def find_lost_streams() -> dict[str, OSError | ValueError]:
    """Returns the errors of guarded streams that can no longer be written, by the stream's name."""
    streams = {"standard output": sys.stdout, "standard error": sys.stderr}
    return {name: stream.lost for name, stream in streams.items() if isinstance(stream, Output) and stream.lost}


def get_reason(error: OSError | ValueError) -> str:
    """Returns the message of an error, without its number."""
    return getattr(error, "strerror", None) or str(error)


def replace_unencodable(text: str, encoding: str) -> str:
    """Replaces the characters of a text that an encoding lacks."""
    return "".join(_substitute(character, encoding) for character in text)


def _substitute(character: str, encoding: str) -> str:
    with suppress(UnicodeEncodeError):
        character.encode(encoding)
        return character
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return ASCII_SUBSTITUTES.get(character) or plain or "?"


def _fill_descriptors() -> None:
    """Opens closed descriptors among 0 to 2. Otherwise a file of the run would take one, and get the output of C."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free
