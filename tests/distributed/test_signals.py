import signal
import threading

import pytest

from dgm_run.distributed.signals import Interrupted, stop_requests


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_remembered_and_the_old_handlers_return(signum):
    before = signal.signal(signum, signal.default_int_handler)  # it may be ignored here, as under nohup
    try:
        with stop_requests() as stop:
            assert not stop
            signal.raise_signal(signum)
            assert stop
            assert stop.signum == signum
        assert signal.getsignal(signum) is signal.default_int_handler
    finally:
        signal.signal(signum, before)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_that_ignored_stays_ignored(signum):
    before = signal.signal(signum, signal.SIG_IGN)  # as nohup does
    try:
        with stop_requests() as stop:
            signal.raise_signal(signum)
            assert not stop
        assert signal.getsignal(signum) == signal.SIG_IGN
    finally:
        signal.signal(signum, before)


def test_a_second_interrupt_stops_at_once():
    with pytest.raises(KeyboardInterrupt), stop_requests():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_other_threads_keep_signal_handlers():
    found = []

    def work():
        with stop_requests() as stop:
            found.append(bool(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


def test_an_interruption_ends_a_sweep_because_it_is_no_exception():
    assert not issubclass(Interrupted, Exception)
