import subprocess

import pytest

from dgm_run.runner import code_state
from dgm_run.runner.code_state import CodeState, read_code_state


@pytest.fixture
def checkout(tmp_path):
    """Repository with one committed file."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "model.py").write_text("x = 1\n")
    git(folder, "init", "--quiet")
    git(folder, "add", "model.py")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "Start")
    return folder


def git(folder, *arguments):
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_clean_checkout_has_a_commit_alone(checkout):
    assert read_code_state(checkout) == CodeState(git(checkout, "rev-parse", "HEAD"), "")


def test_diff_restores_changed_and_new_files(checkout, tmp_path):
    commit = git(checkout, "rev-parse", "HEAD")
    (checkout / "model.py").write_text("x = 2\n")
    (checkout / "conf").mkdir()
    (checkout / "conf" / "mine.yaml").write_text("scale: 1.0\n")
    (checkout / "weights.bin").write_bytes(b"\x00\xff" * 100)
    before = git(checkout, "status", "--porcelain")
    state = read_code_state(checkout)
    assert state.commit == f"{commit}-dirty"
    git(tmp_path, "clone", "--quiet", str(checkout), "clone")
    (tmp_path / "diff").write_text(state.diff)
    git(tmp_path / "clone", "apply", str(tmp_path / "diff"))
    assert (tmp_path / "clone" / "model.py").read_text() == "x = 2\n"
    assert (tmp_path / "clone" / "conf" / "mine.yaml").read_text() == "scale: 1.0\n"
    assert not (tmp_path / "clone" / "weights.bin").exists()
    assert git(checkout, "status", "--porcelain") == before


def test_large_diff_is_left_out(checkout, monkeypatch):
    monkeypatch.setattr(code_state, "MAX_DIFF_BYTES", 100)
    (checkout / "model.py").write_text("x = 2\n" * 100)
    assert read_code_state(checkout).diff.startswith("left out: the difference has ")


def test_no_repository_or_git_gives_no_commit(tmp_path, checkout, monkeypatch):
    read_code_state.cache_clear()
    assert read_code_state(tmp_path) == CodeState(None, "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_code_state(checkout) == CodeState(None, "")
