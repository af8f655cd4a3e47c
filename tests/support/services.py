"""Runs that are killed and resumed, for the tests of loggers to services."""

import json
import shutil
from pathlib import Path

import pytest

import dgm_run
from dgm_run.distributed.signals import Interrupted
from tests.support.tiny import TINY, metrics, stop_after


def train_killed_run(folder: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> None:
    """Trains three epochs as a run does that was killed at its end, while its last checkpoint was within the second.

    The service has then received every step before the run is resumed, and must receive none of them again.
    """
    cfg = dgm_run.compose(*TINY, "trainer.max_epochs=3", *overrides, "trainer.resume=auto")
    with monkeypatch.context() as patch:
        stop_after(4, patch)
        with pytest.raises(Interrupted):
            dgm_run.run(cfg, folder)
    shutil.copytree(folder / "checkpoints", folder / "kept")
    dgm_run.run(cfg, folder)
    shutil.rmtree(folder / "checkpoints")
    (folder / "kept").rename(folder / "checkpoints")
    (folder / "results.json").unlink()
    dgm_run.run(cfg, folder)
    assert len(read_steps(folder)["train/loss"]) == 3


def read_steps(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Returns steps and values of each name in metrics.jsonl, in their order."""
    found: dict[str, list[tuple[int, float]]] = {}
    for row in metrics(folder):
        found.setdefault(row["name"], []).append((row["step"], row["value"]))
    return found


def read_identity(folder: Path, logger: str) -> dict[str, str]:
    return json.loads((folder / "loggers.json").read_text())[logger]
