import inspect

import pytest

from dgm_run.recording.base import CheckpointStore, Display, Log
from dgm_run.recording.checkpoint import Checkpoints
from dgm_run.recording.log import RunLog
from dgm_run.recording.silent import NoCheckpoints, SilentDisplay, SilentLog
from dgm_run.recording.terminal import Terminal


@pytest.mark.parametrize(
    ("protocol", "kinds"),
    [
        (Display, (Terminal, SilentDisplay)),
        (Log, (RunLog, SilentLog)),
        (CheckpointStore, (Checkpoints, NoCheckpoints)),
    ],
)
def test_every_kind_has_the_methods(protocol, kinds):
    names = [name for name, value in inspect.getmembers(protocol, inspect.isfunction) if not name.startswith("_")]
    assert len(names) >= 3
    for kind in kinds:
        for name in names:
            assert inspect.signature(getattr(kind, name)) == inspect.signature(getattr(protocol, name)), (kind, name)


def test_silent_processes_write_nothing(tmp_path, capsys):
    display = SilentDisplay()
    display.open_log(tmp_path, "training")
    display.say("a line")
    log = SilentLog()
    log.scalars({"a": 1.0}, 3, epoch=1)
    assert log.sync() == 0
    NoCheckpoints().save("last", {}, {})
    assert not NoCheckpoints().exists("last")
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""
