import pytest
import torch

from dgm_run.errors import CheckpointError
from dgm_run.recording.checkpoint import Checkpoints
from dgm_run.trainers.best_weights import BestWeights


def weights(value):
    return {"weight": torch.full((3,), value)}


def test_the_last_that_was_taken_is_the_best_and_is_written_once(tmp_path):
    best = BestWeights(Checkpoints(tmp_path))
    best.update(weights(1.0))
    best.save(1)
    best.update(weights(2.0))
    assert best.load(2)["weight"].tolist() == [2.0] * 3
    assert Checkpoints(tmp_path).load("best")[0]["weight"].tolist() == [1.0] * 3
    best.save(2)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    best.save(2)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == written
    assert Checkpoints(tmp_path).load("best")[0]["weight"].tolist() == [2.0] * 3


def test_that_of_a_former_session_comes_from_the_disk(tmp_path):
    former = BestWeights(Checkpoints(tmp_path))
    former.update(weights(3.0))
    former.save(7)
    assert BestWeights(Checkpoints(tmp_path)).load(7)["weight"].tolist() == [3.0] * 3
    with pytest.raises(CheckpointError, match="the best checkpoint, of epoch 8, is lost: it is of epoch 7"):
        BestWeights(Checkpoints(tmp_path)).load(8)
