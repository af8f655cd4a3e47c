"""Schedules that end, and runs that are to be longer or shorter than before."""

import pytest

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.distributed.signals import Interrupted
from dgm_run.errors import CheckpointError, ConfigError
from dgm_run.recording.checkpoint import Checkpoints
from dgm_run.trainers.schedules import refuse_past_end
from tests.support.tiny import TINY, TINY_EXACT, metrics, stop_after

MOMENTUM = ("optimizer=sgd", "optimizer.momentum=0.5")


def run(folder, *overrides):
    return dgm_run.run(dgm_run.compose(*TINY, *overrides), folder)["training"]


def rates(folder):
    return [line["value"] for line in metrics(folder) if line["name"] == "train/learning_rate"]


@pytest.fixture(autouse=True)
def is_left_alone(tmp_path):
    """A refusal leaves the folder of a run as it was."""
    yield
    config = tmp_path / ".hydra" / "config.yaml"
    if (tmp_path / "checkpoints" / "last").exists():
        last = Checkpoints(tmp_path / "checkpoints").load("last")[1]["config"]
        assert dgm_run.runner.run_folder.load_config(tmp_path) == last, config


@pytest.mark.parametrize("schedule", ["burda", "plateau", pytest.param("constant", marks=pytest.mark.slow)])
def test_schedules_without_end_go_on(schedule, tmp_path):
    choice = (f"schedule={schedule}", "trainer.batch_size=1257")
    run(tmp_path / "whole", *choice, "trainer.max_epochs=4")
    run(tmp_path / "resumed", *choice, "trainer.max_epochs=2")
    assert run(tmp_path / "resumed", *choice, "trainer.max_epochs=4", "trainer.resume=auto")["epochs"] == 4
    assert rates(tmp_path / "whole") == rates(tmp_path / "resumed")


@pytest.mark.parametrize(
    ("schedule", "key", "max_epochs"),
    [
        ("cosine", "T_max", 1),
        ("linear", "total_iters", 4),
        pytest.param("cosine", "T_max", 4, marks=pytest.mark.slow),
        pytest.param("linear", "total_iters", 1, marks=pytest.mark.slow),
        pytest.param("linear_with_momentum", "total_iters", 1, marks=pytest.mark.slow),
        pytest.param("linear_with_momentum", "total_iters", 4, marks=pytest.mark.slow),
    ],
)
def test_schedules_with_end_not_stretched(schedule, key, max_epochs, tmp_path):
    choice = (*MOMENTUM, f"schedule={schedule}", "trainer.batch_size=1257")
    run(tmp_path, *choice, "trainer.max_epochs=2")
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError) as error:
        run(tmp_path, *choice, f"trainer.max_epochs={max_epochs}", "trainer.resume=auto")
    keep = "keep trainer.max_epochs=2, or start a new run"
    advice = (
        f"to end earlier on the same schedule add schedule.{key}=2; else {keep}"
        if max_epochs < 2
        else f"{keep}: only with schedule=constant, burda or plateau can epochs be added later"
    )
    assert str(error.value) == (
        f"trainer.resume: trainer.max_epochs={max_epochs} would change the learning-rate schedule "
        f"(schedule.{key}: 2 -> {max_epochs}): {advice}"
    )
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    assert run(tmp_path, *choice, "trainer.max_epochs=2", "trainer.resume=auto")["epochs"] == 2  # as is advised


def test_a_stopped_run_ends_early(tmp_path, monkeypatch):
    """Follows the advice of the refusal: the run trains no further and evaluates its checkpoint."""
    choice = ("schedule=linear", "trainer.batch_size=1257", "trainer.max_epochs=4")
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        with pytest.raises(Interrupted):
            run(tmp_path, *choice)
    early = ("trainer.max_epochs=2", "schedule.total_iters=4", "trainer.resume=auto")
    assert run(tmp_path, *choice[:2], *early)["epochs"] == 2
    assert rates(tmp_path) == [0.0005, 0.000375]


@pytest.mark.parametrize(
    ("schedule", "key", "what"),
    [
        ("cosine", "T_max", "climbs again"),
        ("linear", "total_iters", "is zero"),
        pytest.param("linear_with_momentum", "total_iters", "is zero", marks=pytest.mark.slow),
    ],
)
def test_a_fixed_end_is_not_outlived(schedule, key, what, tmp_path):
    choice = (*MOMENTUM, f"schedule={schedule}", f"schedule.{key}=2", "trainer.batch_size=1257")
    told = f"schedule.{key}=2: the learning rate {what} after 2 epochs, and 4 are to be trained"
    with pytest.raises(ConfigError) as error:
        run(tmp_path / "fresh", *choice, "trainer.max_epochs=4")
    assert str(error.value) == f"{told}: set trainer.max_epochs=2, or schedule.{key}=4"
    run(tmp_path, *choice, "trainer.max_epochs=2")
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError) as error:
        run(tmp_path, *choice, "trainer.max_epochs=4", "trainer.resume=auto")
    assert str(error.value) == f"trainer.resume: {told}: keep trainer.max_epochs=2, or start a new run"
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_steps_may_end_run_before_schedule(tmp_path):
    choice = ("schedule=cosine", "schedule.T_max=2", "trainer.max_epochs=4", "trainer.batch_size=1257")
    assert run(tmp_path, *choice, "trainer.max_steps=2")["steps"] == 2


def test_linear_schedule_may_end_above_zero(tmp_path):
    choice = ("schedule=linear", "schedule.total_iters=1", "schedule.end_factor=0.5", "trainer.batch_size=1257")
    run(tmp_path, *choice, "trainer.max_epochs=3")
    assert rates(tmp_path) == [0.0005, 0.00025, 0.00025]


def test_em_has_no_schedule(tmp_path):
    em = (*TINY_EXACT, "trainer=em", "schedule=cosine", "schedule.T_max=1", "trainer.max_epochs=3")
    assert dgm_run.run(dgm_run.compose(*em), tmp_path)["training"]["epochs"] == 3


@pytest.mark.parametrize(
    ("less", "message"),
    [
        ("max_epochs=1", "2 epochs are trained already, more than trainer.max_epochs=1: set it to 2 or more"),
        ("max_steps=3", "4 steps are trained already, more than trainer.max_steps=3: set it to 4 or more"),
    ],
)
def test_fewer_epochs_than_trained_refused(less, message, tmp_path):
    run(tmp_path, "trainer.max_epochs=5", "trainer.max_steps=4")  # 3 an epoch
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError) as error:
        run(tmp_path, f"trainer.{less}", "trainer.resume=auto")
    assert str(error.value) == f"trainer.resume: {message}"
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_schedule_of_users_own_is_left_alone():
    choice = dgm_run.compose("schedule._target_=torch.optim.lr_scheduler.CosineAnnealingWarmRestarts")
    refuse_past_end(instantiate(choice.schedule), 10**9, "schedule", "trainer", False)
    refuse_past_end(lambda optimizer: None, 10**9, "schedule", "trainer", False)
