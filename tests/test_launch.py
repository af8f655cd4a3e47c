import os
import signal
import threading
import time
from pathlib import Path

import pytest

from dgm_run import parallel
from dgm_run.errors import DataError
from dgm_run.launch import Died, together
from dgm_run.signals import Interrupted, stop_requests


def add(a, b):
    with parallel.joined(2, 60.0):
        return a + b + 10 * parallel.rank()


def test_what_the_first_process_returns_comes_back():
    assert together(2, add, 3, 4) == 7


def lack_data():
    with parallel.joined(2, 60.0):
        if parallel.rank() == 1:
            raise DataError("there is: no file\nsecond line")
        parallel.highest(1)


def test_an_error_of_the_user_comes_back_from_any_process():
    with pytest.raises(DataError) as error:
        together(2, lack_data)
    assert str(error.value) == "there is: no file\nsecond line"


def divide():
    return 1 / 0


def test_any_other_error_comes_back_with_its_traceback():
    with pytest.raises(RuntimeError, match=r"(?s)process \d failed:.*in divide.*ZeroDivisionError"):
        together(2, divide)


def be_killed():
    with parallel.joined(2, 60.0):
        parallel.highest(0)
        if parallel.rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        for _ in range(600):
            parallel.highest(0)
            time.sleep(0.1)


def test_a_killed_process_ends_the_others():
    begun = time.monotonic()
    with pytest.raises(Died, match=r"was killed \(SIGKILL\)|lost the connection"):
        together(2, be_killed)
    assert time.monotonic() - begun < 50


def wait_for_a_stop(ready):
    with parallel.joined(2, 60.0), stop_requests() as stop:
        parallel.highest(0)
        Path(ready).touch()
        while not any(parallel.highest(int(bool(stop)))):
            time.sleep(0.05)
        raise Interrupted(signal.SIGTERM, f"stopped as {parallel.size()}")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_all_processes_and_is_named(signum, tmp_path):
    ready = tmp_path / "ready"

    def interrupt():
        while not ready.exists():
            time.sleep(0.1)
        os.kill(os.getpid(), signum)

    threading.Thread(target=interrupt).start()
    with pytest.raises(Interrupted) as stopped:
        together(2, wait_for_a_stop, str(ready))
    assert stopped.value.signum == signum
    assert stopped.value.message == "stopped as 2"
