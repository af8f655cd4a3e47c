import json
import math
import os

import pytest
import torch

from dgm_run.errors import CheckpointError
from dgm_run.recording.checkpoint import Checkpoints, flatten, unflatten

WEIGHTS = {"layer.weight": torch.randn(3, 4), "layer.bias": torch.randn(3)}
STATE = {
    "step": 7,
    "best": -math.inf,
    "names": ["loss", "elbo"],
    "optimizer": {
        "state": {0: {"step": torch.tensor(7.0), "exp_avg": torch.randn(3, 4)}},
        "param_groups": [{"lr": 0.1}],
    },
    "ema": None,
}


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints")


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b) and a.dtype == b.dtype
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_checkpoint_round_trip(checkpoints):
    checkpoints.save("last", WEIGHTS, STATE)
    weights, state, damaged = checkpoints.load("last")
    assert same(weights, WEIGHTS)
    assert same(state, STATE)
    assert damaged == []


@pytest.mark.parametrize("file", ["weights.safetensors", "state.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_damage_falls_back_one_checkpoint(checkpoints, file, damage):
    checkpoints.save("last", WEIGHTS, {"step": 1})
    checkpoints.save("last", WEIGHTS, {"step": 2})
    path = checkpoints.folder / "last" / file
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    _, state, damaged = checkpoints.load("last")
    assert state == {"step": 1}
    assert len(damaged) == 1
    assert str(checkpoints.folder / "last") in damaged[0]


def test_all_damaged_checkpoints_are_named(checkpoints):
    with pytest.raises(CheckpointError, match="there is no checkpoint 'last'"):
        checkpoints.load("last")
    checkpoints.save("last", WEIGHTS, {})
    (checkpoints.folder / "last" / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"state.json does not match its checksum\): put back a copy"):
        checkpoints.load("last")


@pytest.mark.parametrize("crash_at", range(1, 6))
def test_crash_leaves_a_whole_checkpoint(checkpoints, crash_at, monkeypatch):
    import shutil

    checkpoints.save("last", WEIGHTS, {"step": 1})
    checkpoints.save("last", WEIGHTS, {"step": 2})
    calls = iter(range(1, 100))

    class Crash(BaseException):
        pass

    def crashing(function):
        def call(*arguments, **keywords):
            if next(calls) == crash_at:
                raise Crash
            return function(*arguments, **keywords)

        return call

    monkeypatch.setattr(os, "replace", crashing(os.replace))
    monkeypatch.setattr(shutil, "rmtree", crashing(shutil.rmtree))
    try:
        checkpoints.save("last", WEIGHTS, {"step": 3})
    except Crash:
        pass
    monkeypatch.undo()
    assert checkpoints.exists("last")
    _, state, damaged = Checkpoints(checkpoints.folder).load("last")
    assert state["step"] >= 2
    assert damaged == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_full_disk_keeps_former_checkpoint(checkpoints, monkeypatch):
    checkpoints.save("last", WEIGHTS, {"step": 1})

    def full(tensors, path):
        with open("/dev/full", "wb", buffering=0) as file:
            file.write(b"x")

    monkeypatch.setattr("dgm_run.recording.checkpoint.save_file", full)
    with pytest.raises(OSError, match="cannot write checkpoint .*No space left"):
        checkpoints.save("last", WEIGHTS, {"step": 2})
    assert checkpoints.load("last")[1] == {"step": 1}
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["last"]


def test_unfinished_checkpoints_are_removed(checkpoints):
    checkpoints.save("last", WEIGHTS, {})
    (checkpoints.folder / ".last.1.tmp").mkdir()
    checkpoints.remove_temporaries()
    assert [path.name for path in checkpoints.folder.iterdir()] == ["last"]


def test_state_holds_plain_values_only():
    with pytest.raises(TypeError, match="/hook: a checkpoint holds tensors, numbers"):
        flatten({"hook": print}, {})


def test_tuples_come_back_as_lists_and_the_tree_is_json():
    tensors = {}
    tree = flatten({"betas": (0.9, 0.99), 3: torch.ones(2)}, tensors)
    assert unflatten(json.loads(json.dumps(tree)), tensors)["betas"] == [0.9, 0.99]
