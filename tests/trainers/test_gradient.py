import json

import pytest

from dgm_run.errors import CheckpointError
from tests.trainers.test_training_loop import run


def test_fixed_schedule_refuses_more_epochs(tmp_path):
    run(tmp_path, "schedule=cosine", "trainer.max_epochs=2")
    with pytest.raises(CheckpointError, match=r"schedule.T_max: 2 -> 4"):
        run(tmp_path, "schedule=cosine", "trainer.max_epochs=4", "trainer.resume=auto")


def test_finished_run_resumes_to_the_same(tmp_path):
    first = run(tmp_path)
    again = run(tmp_path, "trainer.resume=auto")
    assert json.dumps(again["estimates"][0]["value"]) == json.dumps(first["estimates"][0]["value"])
