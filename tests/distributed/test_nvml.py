import ctypes
from types import SimpleNamespace

import pytest
import torch

from dgm_run.distributed import nvml

GPU = torch.device("cuda", 1)


class FakeLibrary:
    """Library of a driver with one GPU, which has used 5 kJ."""

    def nvmlInit_v2(self):
        return 0

    def nvmlSystemGetDriverVersion(self, buffer, length):
        buffer.value = b"570.1"
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid, handle):
        handle._obj.value = 7
        return 0 if uuid.value == b"GPU-1234" else 6

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, energy):
        energy._obj.value = 5_000_000
        return 0 if handle.value == 7 else 2


@pytest.fixture
def library(monkeypatch):
    nvml._load_library.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeLibrary())
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="1234"))
    yield
    nvml._load_library.cache_clear()


def test_driver_and_energy_are_read(library):
    assert nvml.read_driver_version() == "570.1"
    assert nvml.read_energy(GPU) == 5000.0


def test_unknown_gpu_has_no_energy(library, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="9"))
    assert nvml.read_energy(GPU) is None


def test_without_library_nothing_is_read(library, monkeypatch):
    def fail(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", fail)
    assert nvml.read_driver_version() is None
    assert nvml.read_energy(GPU) is None


def test_missing_function_reads_nothing(library, monkeypatch):
    monkeypatch.delattr(FakeLibrary, "nvmlDeviceGetTotalEnergyConsumption")
    assert nvml.read_energy(GPU) is None


def test_cpu_has_no_gpu_energy():
    assert nvml.read_energy(torch.device("cpu")) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_counts_its_energy():
    assert nvml.read_driver_version()
    assert nvml.read_energy(torch.device("cuda", 0)) > 0
