"""Memory and energy that a session of a run has used."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dgm_run.distributed import nvml

RAPL_FOLDER = Path("/sys/class/powercap")
"""Folder in which Linux counts the energy of processors; most systems let only their administrator read it."""


class UsageMeter:
    """Meter of peak memory and energy, from its construction on.

    Energy is that of the whole GPU and of the whole processors meanwhile, other programs included.

    Args:
        device: device of the run.
        rapl_folder: folder of the processors' energy counters.
    """

    def __init__(self, device: torch.device, rapl_folder: Path = RAPL_FOLDER):
        self.device = device
        self.rapl_folder = rapl_folder
        self.gpu_start = nvml.read_energy(device)
        self.cpu_start = _read_counters(rapl_folder)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def read(self) -> dict[str, Any]:
        """Returns the peaks in bytes and the energies in joules; None for each that cannot be read."""
        gpu_end = nvml.read_energy(self.device)
        has_gpu_energy = self.gpu_start is not None and gpu_end is not None
        is_gpu = self.device.type == "cuda"
        return {
            "peak_memory_bytes": _read_peak_memory(),
            "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated(self.device) if is_gpu else None,
            "gpu_energy_joules": gpu_end - self.gpu_start if has_gpu_energy else None,  # type: ignore[operator]
            "cpu_energy_joules": _sum_differences(self.cpu_start, _read_counters(self.rapl_folder)),
        }


def _read_peak_memory() -> int | None:
    """Returns the largest resident memory of this process so far, bytes; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _read_counters(folder: Path) -> dict[str, tuple[int, int]]:
    """Reads energy and range of the counter of each processor, microjoules; none that cannot be read."""
    counters = {}
    for zone in sorted(folder.glob("intel-rapl:[0-9]*")):
        if zone.name.count(":") > 1:  # a part of a processor
            continue
        try:
            energy = int((zone / "energy_uj").read_text())
            counters[zone.name] = (energy, int((zone / "max_energy_range_uj").read_text()))
        except (OSError, ValueError):
            continue
    return counters


def _sum_differences(start: Mapping[str, tuple[int, int]], end: Mapping[str, tuple[int, int]]) -> float | None:
    """Returns the energy between two readings, joules. A counter that has passed its range began again at zero."""
    if not start or start.keys() != end.keys():
        return None
    differences = [(end[name][0] - energy) % (largest + 1) for name, (energy, largest) in start.items()]
    return sum(differences) / 1e6
