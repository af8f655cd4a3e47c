"""Device, precision and threads of a run."""

import math
import os

import torch
from torch import nn

from dgm_run.distributed import process_group
from dgm_run.errors import ConfigError
from dgm_run.memory import keep_freed_memory

ALL_THREADS = torch.get_num_threads()
"""Number of CPU threads that torch takes by itself."""
PRODUCTS_PER_THREAD = 64_000_000
"""Number of products of a weight and an example, in a batch, that keep one CPU thread busy."""


def select_device(name: str, devices: int) -> torch.device:
    """Selects the device of this process, and sets torch's defaults for it.

    Args:
        name: auto | cpu | cuda | cuda:N.
        devices: number of processes; each takes a GPU of its own, or all share the CPU.

    Raises:
        ConfigError: the device cannot be used.
    """
    keep_freed_memory()
    device = _make_device(_choose_device_name(name, devices))
    # jobs of a sweep share a process: every default is set again
    torch.set_flush_denormal(True)  # importance weights underflow; denormals slow the CPU fivefold
    torch.set_default_dtype(torch.float32)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.cuda.init()
    return device


def refuse_too_many(name: str, devices: int) -> None:
    """Refuses to start more processes than this machine has devices.

    Args:
        name: auto | cpu | cuda.
        devices: number of processes to start on this machine.

    Raises:
        ConfigError: there are too few devices; the message says how many.
    """
    if _resolve_device_kind(name, devices) == "cuda":
        if devices > torch.cuda.device_count():
            raise _make_gpu_error()
        return
    num_cores = os.cpu_count() or 1
    if devices > num_cores:
        raise ConfigError(
            f"trainer.devices={devices}: this machine has {num_cores} CPU cores, and more processes only wait: "
            f"set trainer.devices={num_cores} or fewer; trainer.micro_batches chooses the parts of a batch"
        )


def set_threads(model: nn.Module, batch_size: int, threads: int | None) -> None:
    """Sets the number of CPU threads.

    Args:
        model: model that works on batches.
        batch_size: examples of a batch of this process.
        threads: number of threads; None for as many as a batch keeps busy.
    """
    torch.set_num_threads(threads or _count_useful_threads(model, batch_size))


def move_to_device(model: nn.Module, device: torch.device, precision: str) -> None:
    """Moves the model to the device, and sets its precision.

    Args:
        model: model, built in single precision so that all precisions start equal.
        device: device from `select_device`.
        precision: fp64, or another precision, for which the weights stay in single precision.
    """
    torch.set_default_dtype(torch.float64 if precision == "fp64" else torch.float32)
    model.to(device, torch.get_default_dtype())


def has_bf16_units(device: torch.device) -> bool:
    """Returns whether the device multiplies faster in bf16 than in single precision."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(getattr(torch.cpu, f"_is_{unit}_supported", lambda: False)() for unit in ("avx512_bf16", "amx_tile"))


def _choose_device_name(name: str, devices: int) -> str:
    """Returns the name of this process's device: cpu, cuda or cuda:N."""
    name = _resolve_device_kind(name, devices)
    if devices == 1 or name == "cpu":
        return name
    if process_group.local_rank() >= torch.cuda.device_count():
        raise _make_gpu_error()
    return f"cuda:{process_group.local_rank()}"


def _resolve_device_kind(name: str, devices: int) -> str:
    """Resolves auto to cuda or cpu; refuses a device without float64, and one GPU for several processes."""
    if name.partition(":")[0] == "mps":
        raise ConfigError(
            f"trainer.device: {name} has no float64, in which training and the estimators sum log-likelihoods: "
            "use auto, cpu or cuda"
        )
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if devices > 1 and name not in ("cpu", "cuda"):
        raise ConfigError(f"trainer.device: {devices} processes cannot share {name}: use auto or cuda")
    return name


def _make_gpu_error() -> ConfigError:
    count = torch.cuda.device_count()
    return ConfigError(
        f"trainer.devices: this machine has {count} GPUs: set trainer.devices={count} or trainer.device=cpu"
    )


def _make_device(name: str) -> torch.device:
    """Makes the device; refuses one that cannot hold a tensor."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"trainer.device: {name} cannot be used ({reason}): use auto, cpu or cuda") from None
    return device


def _count_useful_threads(model: nn.Module, batch_size: int) -> int:
    """Counts the threads that a batch keeps busy. Idle threads make it up to ten times slower on a busy machine."""
    work = batch_size * sum(parameter.numel() for parameter in model.parameters())
    useful = max(1, math.ceil(work / PRODUCTS_PER_THREAD))  # a model may have no parameter
    return min(max(1, ALL_THREADS // process_group.local_size()), useful)
