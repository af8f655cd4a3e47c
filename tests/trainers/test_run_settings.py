"""Settings of every trainer."""

import pytest

from dgm_run.trainers.run_settings import RunSettings

SETTINGS = {
    "eval_batch_size": 500,
    "precision": "fp32",
    "device": "cpu",
    "devices": 1,
    "worker_timeout_seconds": 600.0,
    "threads": None,
    "init_from": None,
    "init_parts": None,
    "resume": None,
}


@pytest.mark.parametrize("name", ["eval_batch_size", "devices", "worker_timeout_seconds", "threads"])
def test_numbers_are_positive(name):
    assert getattr(RunSettings(**SETTINGS | {name: 2}), name) == 2
    with pytest.raises(ValueError, match=f"{name} = 0 must be positive"):
        RunSettings(**SETTINGS | {name: 0})


@pytest.mark.parametrize(("source", "parts"), [(None, ["decoder"]), ("run", [])])
def test_parts_need_weights(source, parts):
    with pytest.raises(ValueError, match="set both, or init_parts=null"):
        RunSettings(**SETTINGS | {"init_from": source, "init_parts": parts})
