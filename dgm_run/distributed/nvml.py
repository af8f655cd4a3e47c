"""Driver version and energy of an NVIDIA GPU, read from NVML, the library of its driver.

The library is called through ctypes, so that no package is needed.
"""

import ctypes
from contextlib import suppress
from functools import cache

import torch

LIBRARY = "libnvidia-ml.so.1"
"""Name of the library, which comes with the driver."""

_VERSION_LENGTH = 80


class NVMLError(OSError):
    """Error of a missing library, or of a call that it or the GPU refuses."""


def read_driver_version() -> str | None:
    """Returns the version of the GPU driver; None without one."""
    with suppress(NVMLError):
        version = ctypes.create_string_buffer(_VERSION_LENGTH)
        _call("nvmlSystemGetDriverVersion", version, ctypes.c_uint(_VERSION_LENGTH))
        return version.value.decode()
    return None


def read_energy(device: torch.device) -> float | None:
    """Returns the energy that a GPU has used since its driver was loaded, joules; None where it cannot be read."""
    if device.type != "cuda":
        return None
    with suppress(NVMLError):
        handle = ctypes.c_void_p()
        # CUDA_VISIBLE_DEVICES may number the GPUs differently, so the GPU is found by its identifier
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}".encode()
        _call("nvmlDeviceGetHandleByUUID", ctypes.c_char_p(uuid), ctypes.byref(handle))
        millijoules = ctypes.c_ulonglong()
        _call("nvmlDeviceGetTotalEnergyConsumption", handle, ctypes.byref(millijoules))
        return millijoules.value / 1000
    return None


@cache
def _load_library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise NVMLError(str(error)) from None
    if library.nvmlInit_v2():
        raise NVMLError("nvmlInit_v2 failed")
    return library


def _call(name: str, *arguments: object) -> None:
    """Calls a function of the library.

    Raises:
        NVMLError: the library is missing, lacks the function, or the call failed.
    """
    try:
        status = getattr(_load_library(), name)(*arguments)
    except AttributeError:
        raise NVMLError(f"{LIBRARY} has no {name}") from None
    if status:
        raise NVMLError(f"{name} failed with status {status}")
