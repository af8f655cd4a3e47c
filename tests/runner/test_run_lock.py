import multiprocessing
import os
import threading
import time

import pytest
from filelock import FileLock, lock_descriptor, unlock_descriptor

from dgm_run.errors import CheckpointError
from dgm_run.runner import run_lock
from dgm_run.runner.run_lock import HOLDER_FILE, LOCK_FILE, is_run_folder_locked, lock_run_folder

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def killed(tmp_path):
    """A folder as a killed run leaves it, so that a look tries the lock."""
    (tmp_path / LOCK_FILE).touch()
    (tmp_path / HOLDER_FILE).write_text("process 1 on nowhere\n")
    return tmp_path


def _hold(folder, held, release):
    with lock_run_folder(folder):
        held.set()
        release.wait(60)


@pytest.fixture
def other(tmp_path):
    """Another process that holds the folder, and the event that ends it."""
    held, release = SPAWN.Event(), SPAWN.Event()
    process = SPAWN.Process(target=_hold, args=(tmp_path, held, release), daemon=True)
    process.start()
    assert held.wait(60)
    yield process, release
    process.kill()
    process.join(60)


def test_used_folder_names_its_holder(tmp_path, other):
    process, release = other
    with (
        pytest.raises(CheckpointError, match=f"is in use by process {process.pid} on {run_lock.socket.gethostname()}$"),
        lock_run_folder(tmp_path),
    ):
        pass
    assert is_run_folder_locked(tmp_path)
    release.set()
    process.join(60)
    assert not is_run_folder_locked(tmp_path)
    with lock_run_folder(tmp_path):
        pass


def test_a_killed_run_holds_nothing(tmp_path, other):
    process, _ = other
    process.kill()
    process.join(60)
    assert (tmp_path / HOLDER_FILE).exists()
    assert not is_run_folder_locked(tmp_path)
    with lock_run_folder(tmp_path):
        assert f"process {os.getpid()} on " in (tmp_path / HOLDER_FILE).read_text()
    assert not (tmp_path / HOLDER_FILE).exists()


def test_folder_that_cannot_be_made_refused(tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "run"
    with pytest.raises(CheckpointError, match="cannot write to the run folder"), lock_run_folder(folder):
        pass


def test_full_disk_reported_and_frees_lock(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_text", fail)
        with (
            pytest.raises(CheckpointError, match="cannot write .*: No space left on device"),
            lock_run_folder(tmp_path),
        ):
            pass
    with lock_run_folder(tmp_path):
        pass


def test_error_of_run_frees_folder(tmp_path):
    with pytest.raises(OSError, match="of the run"), lock_run_folder(tmp_path):
        raise OSError("of the run")
    with FileLock(tmp_path / LOCK_FILE, timeout=0):
        assert not (tmp_path / HOLDER_FILE).exists()


def test_a_run_waits_for_a_look_to_end(killed):
    """A report that the system stops for a moment, just when it has the lock."""
    handle = open(killed / LOCK_FILE, "r+b")  # noqa: SIM115 - closed by the timer
    assert lock_descriptor(handle.fileno(), blocking=False)
    timer = threading.Timer(0.2, handle.close)
    timer.start()
    with lock_run_folder(killed):
        assert handle.closed
    timer.join()


def _unlock_slowly(descriptor):
    time.sleep(0.001)
    unlock_descriptor(descriptor)


def _look(folder, begun, ended, counts):
    """Looks over and over, each time holding the lock for longer than a report does."""
    run_lock.unlock_descriptor = _unlock_slowly
    looks = 0
    while not ended.is_set():
        is_run_folder_locked(folder)
        looks += 1
        begun.set()
        time.sleep(0.003)
    counts.put(looks)


def test_looks_while_runs_start_refuse_none(killed):
    begun, ended, counts = SPAWN.Event(), SPAWN.Event(), SPAWN.Queue()
    report = SPAWN.Process(target=_look, args=(killed, begun, ended, counts), daemon=True)
    report.start()
    assert begun.wait(60)
    for _ in range(50):
        with lock_run_folder(killed):
            pass
        (killed / HOLDER_FILE).write_text("process 1 on nowhere\n")  # so that the next look tries the lock
        time.sleep(0.002)
    ended.set()
    assert counts.get(timeout=60) > 10
    report.join(60)


def test_two_looks_at_once_see_no_run(killed, monkeypatch):
    handle = open(killed / LOCK_FILE, "r+b")  # noqa: SIM115 - another report, which ends between two looks of this one
    assert lock_descriptor(handle.fileno(), blocking=False)
    pauses = []
    monkeypatch.setattr(run_lock.time, "sleep", lambda pause: pauses.append(pause) or (pause and handle.close()))
    assert not is_run_folder_locked(killed)
    assert pauses == [0.0, run_lock.ATTEMPT_PAUSE]


def test_a_look_leaves_a_folder_as_it_was(tmp_path):
    assert not is_run_folder_locked(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / HOLDER_FILE).write_text("process 1 on nowhere\n")
    assert not is_run_folder_locked(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [HOLDER_FILE]


def test_a_run_that_may_only_be_read_is_seen(killed, monkeypatch):
    def open_for_reading(path, mode):
        if mode != "rb":
            raise PermissionError(13, "Permission denied")
        return open(path, mode)

    monkeypatch.setattr(run_lock, "open", open_for_reading, raising=False)
    assert not is_run_folder_locked(killed)
    with lock_run_folder(killed):
        assert is_run_folder_locked(killed)


def test_the_holder_decides_where_no_lock_can_be_tried(killed, monkeypatch):
    def refuse(descriptor, blocking):
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(run_lock, "lock_descriptor", refuse)
    assert is_run_folder_locked(killed)
    (killed / HOLDER_FILE).unlink()
    assert not is_run_folder_locked(killed)
