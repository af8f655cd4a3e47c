import numpy as np
import pytest
import torch

from dgm_run.runner import usage
from dgm_run.runner.usage import UsageMeter

CPU = torch.device("cpu")


def write_counters(folder, *energies, largest=1_000_000):
    for number, energy in enumerate(energies):
        zone = folder / f"intel-rapl:{number}"
        zone.mkdir(exist_ok=True)
        (zone / "energy_uj").write_text(f"{energy}\n")
        (zone / "max_energy_range_uj").write_text(f"{largest}\n")


def test_energy_is_summed_over_processors(tmp_path):
    write_counters(tmp_path, 100_000, 200_000)
    meter = UsageMeter(CPU, tmp_path)
    write_counters(tmp_path, 400_000, 250_000)
    (tmp_path / "intel-rapl:0:0").mkdir()  # the cores of a processor, counted in it
    assert meter.read()["cpu_energy_joules"] == pytest.approx(0.35)


def test_counter_that_began_again_is_understood(tmp_path):
    write_counters(tmp_path, 900_000)
    meter = UsageMeter(CPU, tmp_path)
    write_counters(tmp_path, 99_999)
    assert meter.read()["cpu_energy_joules"] == pytest.approx(0.2)


@pytest.mark.parametrize("content", [None, "", "unknown"])
def test_unreadable_counters_give_no_energy(content, tmp_path):
    write_counters(tmp_path, 1)
    meter = UsageMeter(CPU, tmp_path)
    path = tmp_path / "intel-rapl:0" / "energy_uj"
    path.unlink() if content is None else path.write_text(content)
    assert meter.read()["cpu_energy_joules"] is None
    assert UsageMeter(CPU, tmp_path).read()["cpu_energy_joules"] is None


def test_peak_memory_grows_with_allocations():
    meter = UsageMeter(CPU)
    before = meter.read()["peak_memory_bytes"]
    np.ones(before // 8 + 10_000_000)  # as large as all that was resident
    assert meter.read()["peak_memory_bytes"] > before + 8_000_000


def test_gpu_energy_is_a_difference(monkeypatch):
    readings = iter([100.0, 350.0])
    monkeypatch.setattr(usage.nvml, "read_energy", lambda device: next(readings))
    assert UsageMeter(CPU).read()["gpu_energy_joules"] == 250.0
    monkeypatch.setattr(usage.nvml, "read_energy", lambda device: None)
    assert UsageMeter(CPU).read()["gpu_energy_joules"] is None
