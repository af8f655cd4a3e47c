"""The machine a run works on: its device, precision and threads."""

import math
import os

import torch
from torch import nn

from dgm_run.distributed import process_group
from dgm_run.errors import ConfigError

ALL_THREADS = torch.get_num_threads()
PRODUCTS_PER_THREAD = 64_000_000
"""Products of a weight and an example in a step that keep a thread of the CPU busy."""


def select_device(name: str, devices: int) -> torch.device:
    """The device of this process, ready for work.

    Args:
        name: auto | cpu | cuda | cuda:N.
        devices: processes, each of which takes a GPU of its own, or all the CPU.

    Raises:
        ConfigError: it cannot be used.
    """
    device = _usable(_named(name, devices))
    # jobs of a sweep share a process: everything is set anew
    torch.set_flush_denormal(True)  # importance weights underflow; denormals slow the CPU fivefold
    torch.set_default_dtype(torch.float32)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.cuda.init()
    return device


def refuse_too_many(name: str, devices: int) -> None:
    """Refuses more processes than this machine can give a device, before they are started.

    Args:
        name: auto | cpu | cuda.
        devices: how many processes are to be started here.

    Raises:
        ConfigError: it says how many devices there are.
    """
    if _kind(name, devices) == "cuda":
        if devices > torch.cuda.device_count():
            raise _too_few_gpus()
        return
    num_cores = os.cpu_count() or 1
    if devices > num_cores:
        raise ConfigError(
            f"trainer.devices={devices}: this machine has {num_cores} CPU cores, and more processes only wait for one "
            f"another: set trainer.devices={num_cores} or fewer; trainer.micro_batches chooses the parts of a batch"
        )


def move_to_device(
    model: nn.Module, device: torch.device, precision: str, threads: int | None, batch_size: int
) -> None:
    """The model where it is to work, in the precision asked for, by as many threads as it keeps busy.

    Args:
        model: built in single precision, so that the start is the same in all.
        device: from `select_device`.
        precision: fp64, or another, which takes single precision for all but products.
        threads: of the CPU; None for as many as a step keeps busy.
        batch_size: examples that this process takes in a step.
    """
    torch.set_num_threads(threads or _threads(model, batch_size))
    torch.set_default_dtype(torch.float64 if precision == "fp64" else torch.float32)
    model.to(device, torch.get_default_dtype())


def _named(name: str, devices: int) -> str:
    name = _kind(name, devices)
    if devices == 1 or name == "cpu":
        return name
    if process_group.local_rank() >= torch.cuda.device_count():
        raise _too_few_gpus()
    return f"cuda:{process_group.local_rank()}"


def _kind(name: str, devices: int) -> str:
    """What auto stands for; refuses a device without float64, and one GPU for several processes."""
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


def _too_few_gpus() -> ConfigError:
    found = f"there are {torch.cuda.device_count()} GPUs"
    return ConfigError(f"trainer.devices: {found}: ask for as many, or set trainer.device=cpu")


def _usable(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"trainer.device: {name} cannot be used ({reason}): use auto, cpu or cuda") from None
    return device


def _threads(model: nn.Module, batch_size: int) -> int:
    """More threads than a step has work for wait for one another: up to ten times slower on a busy machine."""
    work = batch_size * sum(parameter.numel() for parameter in model.parameters())
    return min(max(1, ALL_THREADS // process_group.local_size()), math.ceil(work / PRODUCTS_PER_THREAD))
