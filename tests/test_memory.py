import numpy as np
import pytest
import torch

from dgm_run.errors import OutOfMemory
from dgm_run.memory import available, is_out_of_memory, out_of_memory, readable, refuse_larger_than_memory

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


def test_the_request_and_the_place_are_told():
    with pytest.raises(OutOfMemory) as told, out_of_memory("lower n", lambda: " at step 3"):
        torch.empty(2**58)
    assert str(told.value) == "out of memory at step 3 (1024.0 PiB asked for): lower n"
    with pytest.raises(OutOfMemory) as told, out_of_memory("lower n"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ...")
    assert str(told.value) == "out of memory (20.00 GiB asked for): lower n"


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("no"), KeyError("out of memory")])
def test_other_errors_stay_as_they_are(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)) as raised, out_of_memory("lower n"):
        raise error
    assert raised.value is error


def test_the_innermost_advice_counts():
    with pytest.raises(OutOfMemory, match="lower m"), out_of_memory("lower n"), out_of_memory("lower m"):
        raise MemoryError


def test_more_than_is_free_is_refused_beforehand():
    free = available()
    assert 2**20 < free < 2**50
    refuse_larger_than_memory(free / 100, "samples", "lower n")
    with pytest.raises(OutOfMemory, match=r"^samples need about [\d.]+ GiB of memory, of which .* are free: lower n$"):
        refuse_larger_than_memory(1e12, "samples", "lower n")


def test_sizes_have_a_unit_that_suits_them():
    assert [readable(n) for n in (0, 512, 2048, 3 * 2**29, 2.0**62)] == [
        "0 bytes", "512 bytes", "2.0 KiB", "1.5 GiB", "4096.0 PiB"
    ]  # fmt: skip
