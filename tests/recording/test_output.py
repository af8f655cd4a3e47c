import io
import os
import sys

import pytest

from dgm_run.recording.output import Output, find_lost_streams, get_reason, guard, guard_output, replace_unencodable


class Broken(io.StringIO):
    """A stream that fails at every write."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error


@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left on device"), ValueError("closed file")]
)
def test_what_cannot_be_written_is_dropped(error):
    stream = Output(Broken(error))
    assert stream.lost is None
    stream.write("a")
    stream.writelines(["b", "c"])
    stream.flush()
    assert stream.lost is error
    assert not stream.isatty()


def test_a_slow_reader_is_not_a_lost_one():
    stream = Output(Broken(BlockingIOError(11, "try again")))
    stream.write("a")
    assert stream.lost is None


def test_stream_closed_from_start_is_lost():
    stream = Output(None)
    stream.write("a")
    assert get_reason(stream.lost) == "it was closed from the start"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", "a +- e 10% -> ?"), ("latin-1", "a ± é 10% -> ?"), ("utf-8", "a ± é 10% → 数")],
)
def test_characters_are_spelled_in_narrow_encodings(encoding, shown):
    raw = io.BytesIO()
    stream = Output(io.TextIOWrapper(raw, encoding))
    stream.write("a ± é 10% → 数")
    stream.flush()
    assert raw.getvalue().decode(encoding) == shown
    assert stream.lost is None


def test_file_names_of_odd_bytes_can_be_shown():
    raw = io.BytesIO()
    stream = Output(io.TextIOWrapper(raw, "utf-8"))
    stream.write(os.fsdecode(b"run\xff"))
    stream.flush()
    assert (raw.getvalue(), stream.lost) == (b"run?", None)


def test_spelled_text_ascii_whatever_it():
    text = "".join(map(chr, range(0x20, 0x3000)))
    assert len(replace_unencodable(text, "ascii").encode("ascii")) >= len(text) / 2


def test_the_streams_return_after_the_block(monkeypatch):
    out, err = io.StringIO(), Broken(BrokenPipeError(32, "Broken pipe"))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with guard_output():
        print("shown")
        print("dropped", file=sys.stderr)
        with guard_output():  # a run in a command
            print("too")
        assert list(find_lost_streams()) == ["standard error"]
        assert guard(sys.stdout) is sys.stdout
    assert (sys.stdout, sys.stderr) == (out, err)
    assert out.getvalue() == "shown\ntoo\n"


def test_what_only_flushing_finds_is_found(tmp_path):
    stream = Output(open("/dev/full", "w"))  # noqa: SIM115
    stream.write("a")
    assert stream.lost is None  # it is buffered
    stream.flush()
    assert get_reason(stream.lost) == "No space left on device"
    with pytest.raises(OSError):
        stream.target.close()
