"""Settings shared by all tests: one thread a process, and torch's global state and signals as they were after each."""

import gc
import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: tests run in parallel

import pytest
import torch

from tests.support.parsed_once import parse_files_once

gc.disable()  # until all tests are collected
parse_files_once()
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # tests in the background of a shell send it to runs
    signal.signal(signal.SIGINT, signal.default_int_handler)


def freeze_survivors(phase, info):
    """Spares a full collection of garbage what has survived another: modules, and thousands of tests."""
    if phase == "stop" and info["generation"] == 2:
        gc.freeze()


def pytest_collection_finish():
    gc.freeze()
    gc.callbacks.append(freeze_survivors)
    gc.enable()


@pytest.fixture(autouse=True)
def clean_process():
    torch.default_generator.manual_seed(0)  # torch.manual_seed also notes the stack, for CUDA
    on_interrupt = signal.getsignal(signal.SIGINT)
    yield
    torch.set_default_dtype(torch.float32)
    signal.signal(signal.SIGINT, on_interrupt)  # which a command at its end ignores


@pytest.fixture
def double():
    """Double precision while the test runs."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
