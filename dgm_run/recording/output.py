"""Guards standard output and error: what cannot be written is dropped, and a command goes on.

A pipe may be closed by its reader, a disk may be full, a terminal may be gone, an encoding may lack a character.
None of these is a reason to lose a training.
"""

import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, ClassVar

SPELLED = {"±": "+-", "→": "->", "←": "<-", "×": "x", "−": "-", "–": "-", "—": "-", "…": "...", "≥": ">=", "≤": "<=",
           "‘": "'", "’": "'", "“": '"', "”": '"', "━": "-", "·": ".", "│": "|"}  # fmt: skip
"""ASCII that stands for a character where the encoding lacks it."""


class Output:
    """A text stream that never raises.

    Args:
        target: the stream that is written to; None if the process was started without it.

    Attributes:
        lost: why nothing can be written any more; None as long as it can.
        before_write: called before anything is written to any guarded stream, to take a bar off the line.
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
        """Writes without a call of `before_write`: for what draws the bar itself."""
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
            self.target.write(spell(text, self.encoding))

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
        """Lets what is still buffered go nowhere; the interpreter would fail to write it at its end."""
        with suppress(OSError, ValueError, AttributeError):
            descriptor = self.target.fileno()
            if descriptor in (1, 2):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, descriptor)
                os.close(null)


def guard(stream: IO[str] | Output | None) -> Output:
    """Returns a guarded stream; one that is guarded already as it is."""
    return stream if isinstance(stream, Output) else Output(stream)


@contextmanager
def guarded() -> Iterator[None]:
    """Guards standard output and error while the block runs, or the command that it decorates."""
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


def losses() -> dict[str, OSError | ValueError]:
    """Returns why the guarded streams that can be written no more cannot, by name."""
    streams = {"standard output": sys.stdout, "standard error": sys.stderr}
    return {name: stream.lost for name, stream in streams.items() if isinstance(stream, Output) and stream.lost}


def reason(error: OSError | ValueError) -> str:
    """Returns what an error says, without its number."""
    return getattr(error, "strerror", None) or str(error)


def spell(text: str, encoding: str) -> str:
    """Returns the text with substitutes for the characters that an encoding lacks."""
    return "".join(_substitute(character, encoding) for character in text)


def _substitute(character: str, encoding: str) -> str:
    with suppress(UnicodeEncodeError):
        character.encode(encoding)
        return character
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return SPELLED.get(character) or plain or "?"


def _fill_descriptors() -> None:
    """Opens those of the descriptors 0 to 2 that are closed: a file of the run would take one, and all that C says."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free
