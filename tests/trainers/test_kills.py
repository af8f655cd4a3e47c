"""Runs that are killed over and over end as if nothing had happened."""

import json
import random
import time
from pathlib import Path

import pytest
import torch

from dgm_run.recording.checkpoint import Checkpoints
from tests.support.tiny import TINY, TINY_ENERGY, TINY_GAN, TINY_LAYERS, dgm_run, metrics, start_command

NUM_KILLS = 30
SHORT_STEPS = ("trainer.batch_size=100", "trainer.image_every_epochs=null", "trainer.checkpoint_seconds=0.01")
PARTITION = "partition.fallback.num_temperatures=10"
FAMILIES = {
    "vae": (*TINY, "trainer.max_epochs=120", "trainer.ema_decay=0.9"),
    "rbm": (*TINY_ENERGY, "trainer.max_epochs=120", "objective.centering_rate=0.01", f"objective.{PARTITION}"),
    "gan": (*TINY_GAN, "trainer.max_epochs=20"),
    "dbn": ("model=dbn", *TINY_LAYERS, "trainer.max_epochs=10", "trainer.pretraining.max_epochs=10"),
    "two_processes": (*TINY, "trainer.max_epochs=120", "trainer.devices=2"),
}


def select(overrides):
    """Keeps the last value of each key."""
    return list({each.partition("=")[0]: each for each in (*overrides, *SHORT_STEPS)}.values())


def count_saves(folder: Path) -> int:
    """Returns a number that changes when the checkpoint does."""
    try:
        return (folder / "checkpoints" / "last").stat().st_mtime_ns
    except OSError:
        return 0


def kill_once(overrides, folder: Path, draws: random.Random) -> bool:
    """Starts the run, and kills it after some checkpoints or a random time; returns whether it was running."""
    num_saves = draws.choice([0, 1, 2, 3])
    delay = draws.uniform(0, 1.0 if num_saves == 0 else 0.05)
    with start_command(*overrides, f"hydra.run.dir={folder}", "trainer.resume=auto", cwd=folder.parent) as process:
        for _ in range(num_saves):
            before = count_saves(folder)
            while count_saves(folder) == before and process.is_alive():
                time.sleep(0.001)
        time.sleep(delay)
        was_running = process.is_alive()
        process.kill()
        process.join()
    return was_running


def read_end(folder: Path):
    weights, state, _ = Checkpoints(folder / "checkpoints").load("last")
    rows = [row for row in metrics(folder) if not row["name"].startswith("speed")]
    estimates = json.loads((folder / "results.json").read_text())["estimates"]
    return weights, state["step"], rows, [(row["quantity"], row["value"], row["stderr"]) for row in estimates]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_killed_run_ends_bit_identical(family, tmp_path):
    overrides = select(FAMILIES[family])
    whole = tmp_path / "whole"
    killed = tmp_path / "killed"
    done = dgm_run(*overrides, f"hydra.run.dir={whole}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    draws = random.Random(family)
    num_kills = sum(kill_once(overrides, killed, draws) for _ in range(NUM_KILLS))
    assert num_kills > NUM_KILLS // 2  # later ones may find a finished run
    done = dgm_run(*overrides, f"hydra.run.dir={killed}", "trainer.resume=auto", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    weights, *others = read_end(whole)
    found, *found_others = read_end(killed)
    assert all(torch.equal(found[name], value) for name, value in weights.items())
    assert found_others == others
