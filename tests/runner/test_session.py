import json
import platform
import shlex
import socket
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

import dgm_run
from dgm_run.runner import session
from dgm_run.runner.code_state import CodeState
from dgm_run.runner.session import describe_session, list_packages, write_session
from tests.support.tiny import TINY


def read_sessions(folder):
    return [json.loads(line) for line in (folder / "sessions.jsonl").read_text().splitlines()]


def test_session_names_versions_host_and_device():
    found = describe_session(torch.device("cpu"))
    assert found["torch"] == torch.__version__
    assert found["device"] == "cpu"
    assert found["driver"] is None
    assert found["processor"] in (
        platform.processor(),
        *Path("/proc/cpuinfo").read_text().replace("\n", ": ").split(": "),
    )
    assert found["threads"] == torch.get_num_threads()
    assert found["host"] == socket.gethostname()
    assert abs((datetime.now().astimezone() - datetime.fromisoformat(found["started"])).total_seconds()) < 60


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["/opt/bin/dgm-run", "seed=1"], "dgm-run seed=1"),
        (["train.py", "seed=1"], "python train.py seed=1"),
        (["/site/dgm_run/__main__.py", "dataset.source.path=it's"], "python -m dgm_run dataset.source.path=it's"),
    ],
)
def test_command_can_be_typed_again(arguments, expected, monkeypatch):
    monkeypatch.setattr("sys.argv", arguments)
    command = describe_session(torch.device("cpu"))["command"]
    words = shlex.split(command)
    assert words[-1] == arguments[-1]
    assert " ".join(words) == expected


def test_packages_have_their_versions():
    found = dict(each.split("==") for each in list_packages())
    for name in ("numpy", "hydra-core", "safetensors", "torch"):
        assert found[name] == version(name)
    assert list(found) == sorted(found)


def test_each_session_has_a_line_and_a_diff(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "read_code_state", lambda folder: CodeState("abc", ""))
    write_session(tmp_path, {"host": "a"})
    monkeypatch.setattr(session, "read_code_state", lambda folder: CodeState("abc-dirty", "+x"))
    write_session(tmp_path, {"host": "b"})
    assert read_sessions(tmp_path) == [{"host": "a"}, {"host": "b"}]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["code_2.diff", "sessions.jsonl"]
    assert (tmp_path / "code_2.diff").read_text() == "+x"


def test_own_code_has_a_diff_of_its_own(tmp_path, monkeypatch):
    states = iter([CodeState("abc", ""), CodeState("def-dirty", "+y")])
    monkeypatch.setattr(session, "read_code_state", lambda folder: next(states))
    write_session(tmp_path, {})
    assert (tmp_path / "own_code_1.diff").read_text() == "+y"


def test_results_hold_the_last_session(tmp_path):
    dgm_run.run(dgm_run.compose(*TINY), tmp_path)
    found = dgm_run.run(dgm_run.compose(*TINY, "trainer.max_epochs=2", "trainer.resume=auto"), tmp_path)
    sessions = read_sessions(tmp_path)
    assert len(sessions) == 2
    assert sessions[1].items() <= found["environment"].items()
    assert found["environment"]["peak_memory_bytes"] > 10_000_000
