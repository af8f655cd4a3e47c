import pytest
import torch
from torch import nn

from dgm_run.distributed import device, process_group
from dgm_run.errors import ConfigError


@pytest.fixture(autouse=True)
def as_before():
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    yield
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)


def test_device_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"trainer.device: cuda:99 cannot be used .*: use auto, cpu or cuda"):
        device.select_device("cuda:99", 1)
    with pytest.raises(ConfigError, match=r"trainer.device: neverland cannot be used"):
        device.select_device("neverland", 1)


@pytest.mark.parametrize(("name", "devices"), [("mps", 1), ("mps:0", 1), ("mps", 2)])
def test_a_device_without_float64_is_refused(name, devices):
    reason = f"trainer.device: {name} has no float64, in which .*: use auto, cpu or cuda$"
    for refuse in (device.select_device, device.refuse_too_many):
        with pytest.raises(ConfigError, match=reason):
            refuse(name, devices)


def test_processes_take_a_gpu_each(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for rank in (0, 1):
        monkeypatch.setattr(process_group, "local_rank", lambda rank=rank: rank)
        assert device._choose_device_name("auto", 2) == device._choose_device_name("cuda", 2) == f"cuda:{rank}"
    assert device._choose_device_name("cpu", 2) == "cpu"
    assert device._choose_device_name("cuda:1", 1) == "cuda:1"
    with pytest.raises(ConfigError, match=r"2 processes cannot share cuda:1: use auto or cuda"):
        device._choose_device_name("cuda:1", 2)
    monkeypatch.setattr(process_group, "local_rank", lambda: 2)
    with pytest.raises(ConfigError, match=r"this machine has 2 GPUs: set trainer.devices=2 or trainer.device=cpu"):
        device._choose_device_name("cuda", 3)


def test_more_processes_than_devices_refused(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("auto", "cpu"):
        device.refuse_too_many(name, 4)
        with pytest.raises(
            ConfigError, match=r"trainer.devices=5: this machine has 4 CPU cores.* set trainer.devices=4"
        ):
            device.refuse_too_many(name, 5)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("auto", "cuda"):
        device.refuse_too_many(name, 2)
        with pytest.raises(ConfigError, match=r"this machine has 2 GPUs: set trainer.devices=2 or trainer.device=cpu"):
            device.refuse_too_many(name, 3)
    with pytest.raises(ConfigError, match=r"2 processes cannot share cuda:1: use auto or cuda"):
        device.refuse_too_many("cuda:1", 2)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.float32), ("fp64", torch.float64)]
)
def test_a_model_is_placed_in_its_precision(precision, dtype):
    model = nn.Linear(3, 2)
    device.move_to_device(model, device.select_device("cpu", 1), precision)
    assert model.weight.dtype == torch.get_default_dtype() == dtype
    device.select_device("cpu", 1)  # the next job of a sweep begins as if it were the first
    assert torch.get_default_dtype() == torch.float32


def test_a_small_batch_takes_one_thread_and_a_large_one_all(monkeypatch):
    monkeypatch.setattr(device, "ALL_THREADS", 4)
    model = nn.Linear(999, 1000)  # a million weights
    found = []
    for batch_size in (64, 65, 128, 10_000):
        device.set_threads(model, batch_size, None)
        found.append(torch.get_num_threads())
    assert found == [1, 2, 2, 4]
    device.set_threads(model, 64, 3)
    assert torch.get_num_threads() == 3
    monkeypatch.setattr(process_group, "local_size", lambda: 2)  # which share the cores
    device.set_threads(model, 10_000, None)
    assert torch.get_num_threads() == 2
