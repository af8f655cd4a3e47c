"""Commands on a run folder: their help and what they refuse."""

import pytest
import torch

from tests.support.tiny import run_command, run_here, run_refused

JUNK = [
    b"",
    b"3",
    b"text",
    b"- {a: 1}",
    b"- [a=1]",
    b"- 3",
    b"a: 1",
    b"x: [",
    b"- foo bar=",
    b"- 'a=['",
    b"\x80\xff\x00",
]


@pytest.mark.parametrize("content", JUNK)
@pytest.mark.parametrize("function", ["evaluate", "sample"])
def test_junk_overrides_are_refused(function, content, tmp_path, monkeypatch, capfd):
    path = tmp_path / ".hydra" / "overrides.yaml"
    path.parent.mkdir()
    path.write_bytes(content)
    monkeypatch.setattr("dgm_run.runner.run_folder.load", lambda *_: torch.nn.Linear(1, 1))
    done = run_here(function, [str(tmp_path)], tmp_path, monkeypatch, capfd)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{path} is no list of overrides, as in '- seed=1': write into it")
    assert done.stderr.count("\n") == 1


def test_help_says_how(tmp_path):
    done = run_command("evaluate", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "dgm-eval RUN_DIR" in done.stdout
    assert run_command("evaluate", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("content", JUNK)
def test_junk_overrides_refused_on_resume(content, tmp_path, monkeypatch, capfd):
    path = tmp_path / ".hydra" / "overrides.yaml"
    path.parent.mkdir()
    path.write_bytes(content)
    done = run_refused([f"trainer.resume={tmp_path}"], tmp_path, monkeypatch, capfd)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{path} is no list of overrides")
    assert done.stderr.count("\n") == 1
