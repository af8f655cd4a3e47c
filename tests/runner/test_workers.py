"""Starts of worker processes: what is refused before, and what follows a death."""

import pytest

import dgm_run
from dgm_run.distributed import process_group
from dgm_run.errors import CheckpointError, ConfigError
from tests.support.tiny import TINY


def never(*arguments):
    raise AssertionError("processes were started")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.devices=1000000000", "trainer.batch_size=1000000000"], "this machine has 2 CPU cores"),
        (["trainer.devices=2", "trainer.batch_size=1"], "micro_batches = 2 exceeds batch_size = 1"),
        (["trainer.devices=2", "trainer.device=cuda:0"], "2 processes cannot share cuda:0"),
        (
            ["trainer.devices=2", "decoder=conv", "decoder.strides=[3]"],
            "not divisible by|different length|they have",
        ),
        (["trainer.devices=2", "likelihood=discretized_logistic"], "takes levels data"),
    ],
)
def test_no_process_starts_for_a_refusal(overrides, message, tmp_path, monkeypatch):
    monkeypatch.setattr("dgm_run.distributed.launch.launch_workers", never)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    tiny = [option for option in TINY if not option.startswith("decoder")]
    with pytest.raises(ConfigError, match=message):
        dgm_run.run(dgm_run.compose(*tiny, *overrides), tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_process_starts_for_a_used_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("dgm_run.distributed.launch.launch_workers", never)
    parts = "trainer.micro_batches=2"
    found = dgm_run.run(dgm_run.compose(*TINY, parts), tmp_path)
    before = (tmp_path / "results.json").read_bytes()
    with pytest.raises(CheckpointError, match="holds a run"):
        dgm_run.run(dgm_run.compose(*TINY, "trainer.devices=2"), tmp_path)
    with pytest.raises(CheckpointError, match=r"the configuration has changed \(seed: 0 -> 1\): keep"):
        dgm_run.run(dgm_run.compose(*TINY, "trainer.devices=2", "seed=1", "trainer.resume=auto"), tmp_path)
    again = dgm_run.compose(*TINY, "trainer.devices=2", "trainer.resume=auto")
    assert dgm_run.run(again, tmp_path)["estimates"] == found["estimates"]
    with pytest.raises(ConfigError, match="another configuration: seed: 0 -> 1"):
        dgm_run.evaluate(dgm_run.compose(*TINY, "trainer.devices=2", "seed=1"), tmp_path)
    assert (tmp_path / "results.json").read_bytes() == before


def test_after_death_run_continues(tmp_path, monkeypatch):
    tries = []

    def dies(devices, work, text, *more):
        tries.append("resume: auto" in text)
        if len(tries) == 1:
            raise process_group.WorkerDied("process 1 was killed")
        raise ConfigError("refused as it is to be")

    monkeypatch.setattr("dgm_run.distributed.launch.launch_workers", dies)
    with pytest.raises(ConfigError):
        dgm_run.run(dgm_run.compose(*TINY, "trainer.devices=2"), tmp_path)
    assert tries == [False, True]
