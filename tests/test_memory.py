import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from dgm_run.errors import OutOfMemory
from dgm_run.memory import (
    format_bytes,
    get_free_memory,
    is_out_of_memory,
    keep_freed_memory,
    out_of_memory,
    refuse_larger_than_memory,
)

HUGE = 2**58  # more than any address space: refused at once


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(HUGE),
        lambda: torch.empty(10**10, 10**10),
        lambda: torch.nn.Linear(HUGE, 1),
        lambda: np.zeros(HUGE),
        lambda: np.zeros((10**10, 10**10)),
        lambda: bytearray(HUGE),
    ],
    ids=["torch", "torch overflow", "layer", "numpy", "numpy overflow", "python"],
)
def test_every_library_is_understood(allocate):
    with pytest.raises(OutOfMemory, match=r"^out of memory.*: lower n$"), out_of_memory("lower n"):
        allocate()


def test_message_names_requested_memory_and_device():
    with pytest.raises(OutOfMemory) as raised, out_of_memory("lower n", lambda: " at step 3"):
        torch.empty(2**58)
    assert str(raised.value) == "out of memory at step 3 (1024.0 PiB asked for): lower n"
    with pytest.raises(OutOfMemory) as raised, out_of_memory("lower n"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ...")
    assert str(raised.value) == "out of memory (20.00 GiB asked for): lower n"


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("no"), KeyError("out of memory")])
def test_other_errors_stay_as_they_are(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)) as raised, out_of_memory("lower n"):
        raise error
    assert raised.value is error


def test_the_innermost_advice_counts():
    with pytest.raises(OutOfMemory, match="lower m"), out_of_memory("lower n"), out_of_memory("lower m"):
        raise MemoryError


def test_more_than_free_refused_beforehand(monkeypatch):
    assert 2**20 < get_free_memory() < 2**50
    monkeypatch.setattr("dgm_run.memory.get_free_memory", lambda: 2.0**34)
    refuse_larger_than_memory(2.0**33, "samples", "lower n")
    with pytest.raises(OutOfMemory) as refused:
        refuse_larger_than_memory(3 * 2.0**39, "samples", "lower n")
    assert str(refused.value) == "samples need about 1.5 TiB of memory, of which 16.0 GiB are free: lower n"


@pytest.mark.parametrize("missing", [AttributeError, ValueError])  # on Windows, on macOS
def test_unknown_memory_refuses_nothing(monkeypatch, missing):
    def sysconf(name):
        raise missing(name)

    monkeypatch.setattr("os.sysconf", sysconf)
    monkeypatch.setattr("dgm_run.memory.Path.read_text", lambda self: (_ for _ in ()).throw(FileNotFoundError))
    assert get_free_memory() == math.inf
    refuse_larger_than_memory(2.0**80, "samples", "lower n")


def test_sizes_have_a_unit_that_suits_them():
    assert [format_bytes(n) for n in (0, 512, 2048, 3 * 2**29, 2.0**62)] == [
        "0 bytes", "512 bytes", "2.0 KiB", "1.5 GiB", "4096.0 PiB"
    ]  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="faults of pages are counted on Linux")
def test_freed_memory_serves_the_next_tensors():
    import resource  # Windows lacks it

    keep_freed_memory()

    def fill_tensors() -> int:
        """Page faults of four tensors of 8 MiB, freed together."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        tensors = [torch.ones(2**21) for _ in range(4)]
        del tensors
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    fill_tensors()
    assert min(fill_tensors() for _ in range(5)) < 1_000  # of 8,192 pages


@pytest.mark.parametrize(("given", "found"), [(None, "10000"), ("7", "7")])
def test_waiting_threads_sleep_soon(given, found):
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment |= {"GOMP_SPINCOUNT": given} if given else {}
    code = "import os, dgm_run; print(os.environ['GOMP_SPINCOUNT'])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found
