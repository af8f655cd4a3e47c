import json

import pytest

from dgm_run.errors import CheckpointError
from dgm_run.trainers import gradient
from tests.trainers.test_training_loop import run


def test_fixed_schedule_refuses_more_epochs(tmp_path):
    run(tmp_path, "schedule=cosine", "trainer.max_epochs=2")
    with pytest.raises(CheckpointError, match=r"schedule.T_max: 2 -> 4"):
        run(tmp_path, "schedule=cosine", "trainer.max_epochs=4", "trainer.resume=auto")


def test_finished_run_resumes_to_the_same(tmp_path):
    first = run(tmp_path)
    again = run(tmp_path, "trainer.resume=auto")
    assert json.dumps(again["estimates"][0]["value"]) == json.dumps(first["estimates"][0]["value"])


@pytest.mark.parametrize(
    ("least_steps", "has_units", "overrides", "is_advised"),
    [
        (1, True, (), True),
        (10_000, True, (), False),
        (1, False, (), False),
        (1, True, ("trainer.precision=bf16",), False),
    ],
)
def test_long_training_is_advised_to_use_bf16(
    least_steps, has_units, overrides, is_advised, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(gradient, "MIN_COMPILED_STEPS", least_steps)
    monkeypatch.setattr(gradient, "has_bf16_units", lambda device: has_units)
    run(tmp_path, *overrides)
    assert (gradient.BF16_ADVICE in capsys.readouterr().out.replace("\n", " ")) is is_advised
