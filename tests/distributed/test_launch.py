import os
import signal
import threading
import time
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from dgm_run.distributed import launch, process_group
from dgm_run.distributed.launch import WorkerDied, launch_workers
from dgm_run.distributed.signals import Interrupted, stop_requests
from dgm_run.errors import DataError


def add(a, b):
    with process_group.open_process_group(2, 60.0):
        return a + b + 10 * process_group.rank()


def test_result_of_process_0_is_returned():
    assert launch_workers(2, add, 3, 4) == 7


def lack_data():
    with process_group.open_process_group(2, 60.0):
        if process_group.rank() == 1:
            raise DataError("there is: no file\nsecond line")
        process_group.all_reduce_max(1)


@pytest.mark.slow
def test_an_error_of_the_user_comes_back_from_any_process():
    with pytest.raises(DataError) as error:
        launch_workers(2, lack_data)
    assert str(error.value) == "there is: no file\nsecond line"


def divide():
    return 1 / 0


@pytest.mark.slow
def test_any_other_error_comes_back_with_its_traceback():
    with pytest.raises(RuntimeError, match=r"(?s)process \d failed:.*in divide.*ZeroDivisionError"):
        launch_workers(2, divide)


def be_killed():
    with process_group.open_process_group(2, 60.0):
        process_group.all_reduce_max(0)
        if process_group.rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        for _ in range(600):
            process_group.all_reduce_max(0)
            time.sleep(0.1)


@pytest.mark.slow
def test_a_killed_process_ends_the_others():
    begun = time.monotonic()
    with pytest.raises(WorkerDied, match=r"was killed \(SIGKILL\)|lost the connection"):
        launch_workers(2, be_killed)
    assert time.monotonic() - begun < 50


def failure(status, message="", pid=1, rank=0):
    found = ProcessFailure(rank, pid, status, error_file="<N/A>")
    found.message = message or found.message
    return found


def user_error(name, message):
    return {"message": f"{name}: {message}", "extraInfo": {"py_callstack": "in divide"}}


@pytest.mark.parametrize(
    ("failures", "kind", "message"),
    [
        ([failure(-9)], WorkerDied, "process 0 was killed (SIGKILL)"),
        ([failure(-15), failure(-9)], WorkerDied, "process 1 was killed (SIGKILL)"),
        ([failure(3)], WorkerDied, "process 0 ended without a message (exit status 3)"),
        ([failure(-15)], WorkerDied, "process 0 was ended after another"),
        (
            [failure(1, user_error("WorkerDied", "it lost another")), failure(-9)],
            WorkerDied,
            "process 1 was killed (SIGKILL)",
        ),
        ([failure(-9), failure(1, user_error("DataError", "no: file"))], DataError, "no: file"),
        ([failure(-15), failure(1, user_error("TypeError", "no"))], RuntimeError, "process 1 failed:\nin divide"),
    ],
)
def test_the_cause_of_a_failure_is_named(failures, kind, message):
    error = launch._choose_cause(dict(enumerate(failures)))
    assert type(error) is kind
    assert str(error) == message


def wait_for_a_stop(ready):
    with process_group.open_process_group(2, 60.0), stop_requests() as stop:
        process_group.all_reduce_max(0)
        Path(ready).touch()
        while not any(process_group.all_reduce_max(int(bool(stop)))):
            time.sleep(0.05)
        raise Interrupted(signal.SIGTERM, f"stopped as {process_group.size()}")


@pytest.mark.parametrize("signum", [signal.SIGINT, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_a_signal_reaches_all_processes_and_is_named(signum, tmp_path):
    ready = tmp_path / "ready"

    def interrupt():
        while not ready.exists():
            time.sleep(0.1)
        os.kill(os.getpid(), signum)

    threading.Thread(target=interrupt).start()
    with pytest.raises(Interrupted) as stopped:
        launch_workers(2, wait_for_a_stop, str(ready))
    assert stopped.value.signum == signum
    assert stopped.value.message == "stopped as 2"
