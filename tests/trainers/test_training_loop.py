"""The training loop, through whole runs on tiny data."""

import numpy as np
import pytest
import torch

import dgm_run
from dgm_run.config.compose import compose, instantiate
from dgm_run.distributed.signals import Interrupted
from dgm_run.errors import CheckpointError, TrainingError
from dgm_run.recording.checkpoint import Checkpoints
from dgm_run.trainers import loop_settings
from tests.support.tiny import TINY, TINY_ENERGY, metrics, stop_after


def run(folder, *overrides):
    return dgm_run.run(dgm_run.compose(*TINY, *overrides), folder)


def values(folder, name):
    return [line["value"] for line in metrics(folder) if line["name"] == name]


def test_seed_determines_the_run(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(tmp_path / name, f"seed={seed}", "trainer.max_epochs=2")
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")
    assert values(tmp_path / "a", "train/loss") != values(tmp_path / "c", "train/loss")


def test_training_lowers_the_loss_and_keeps_the_best_weights(tmp_path):
    results = run(tmp_path, "trainer.max_epochs=6", "trainer.batch_size=100")
    elbos = values(tmp_path, "valid/elbo")
    assert elbos[-1] > elbos[0] + 3
    assert results["training"]["best"] == max(elbos)
    assert results["training"]["best_epoch"] == 1 + elbos.index(max(elbos))


def test_patience_stops_a_run(tmp_path):
    results = run(tmp_path, "trainer.max_epochs=50", "trainer.patience=2", "optimizer.lr=1e-12")
    elbos = values(tmp_path, "valid/elbo")
    best = elbos.index(max(elbos))
    assert results["training"]["stopped_by"] == "patience"
    assert len(elbos) == best + 1 + 2


def test_patience_waits_for_warm_up_to_end(tmp_path):
    results = run(
        tmp_path, "trainer.max_epochs=50", "trainer.patience=1", "optimizer.lr=1e-12", "objective.warmup_epochs=5"
    )
    assert results["training"]["epochs"] >= 6


def test_max_steps_ends_within_an_epoch(tmp_path):
    results = run(tmp_path, "trainer.max_epochs=5", "trainer.max_steps=4")
    assert results["training"]["steps"] == 4
    assert results["training"]["stopped_by"] == "max_steps"
    assert values(tmp_path, "valid/elbo")


def test_training_loss_weighs_last_batch(tmp_path):
    # at learning rate zero every epoch sees the same weights: with beta = 0 the loss is a mean over examples
    loss = []
    for batch_size in (1257, 1256):
        folder = tmp_path / str(batch_size)
        run(folder, f"trainer.batch_size={batch_size}", "optimizer.lr=1e-30", "objective.beta=0",
            "objective.num_samples=200", "dataset.binarize=threshold")  # fmt: skip
        loss += values(folder, "train/loss")
    assert loss[0] == pytest.approx(loss[1], abs=0.1)  # the last example alone would move it by ten times as much


def test_non_finite_loss_keeps_checkpoint(tmp_path):
    x = np.random.default_rng(0).random((300, 4)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x)
    data = ("dataset=arrays", f"dataset.source.path={tmp_path}/data.npz", "dataset.shape=[4]",
            "dataset.source.num_valid=50", "dataset.source.num_test=50", "likelihood=gaussian")  # fmt: skip
    options = ("optimizer=sgd", "optimizer.lr=0.001", "trainer.batch_size=50", "trainer.checkpoint_seconds=1e-9")
    run(tmp_path / "run", *data, *options)
    before = Checkpoints(tmp_path / "run" / "checkpoints").load("last")[1]["step"]
    with pytest.raises(TrainingError) as stopped:
        run(tmp_path / "bad", *data, *options, "optimizer.lr=1e20", "trainer.max_epochs=3")
    message = str(stopped.value)
    assert "not finite at step" in message
    assert "seed 0" in message
    assert "lower optimizer.lr or set trainer.clip_norm" in message
    assert before == 4
    if (tmp_path / "bad" / "checkpoints" / "last").exists():
        weights, _, _ = Checkpoints(tmp_path / "bad" / "checkpoints").load("last")
        assert all(value.isfinite().all() for value in weights.values())
    assert not (tmp_path / "bad" / "results.json").exists()


def test_training_survives_a_full_disk(tmp_path, monkeypatch, capsys):
    from dgm_run.recording import checkpoint

    real, calls = checkpoint.save_file, []

    def full(tensors, path):
        calls.append(path)
        if len(calls) == 1 or 5 < len(calls) <= 7:
            raise OSError(28, "No space left on device")
        real(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", full)
    results = run(tmp_path, "trainer.max_epochs=2", "trainer.checkpoint_seconds=1e-9")
    assert results["training"]["epochs"] == 2
    printed = capsys.readouterr().out
    assert "No space left on device; there is no checkpoint yet, and training continues" in printed
    assert "No space left on device; the former checkpoint is kept, and training continues" in printed


def test_gradient_clipping_bounds_the_step(tmp_path):
    cfg = ("optimizer=sgd", "optimizer.lr=1.0", "optimizer.momentum=0.0", "trainer.max_steps=1")
    for name, clip in (("none", "null"), ("tight", "1e-3")):
        run(tmp_path / name, *cfg, f"trainer.clip_norm={clip}")
    start = dgm_run.compose(*TINY, *cfg)
    from dgm_run import rng
    from dgm_run.config.compose import instantiate

    rng.reseed(0, "model")
    initial = instantiate(start.model).state_dict()

    def distance_moved(name):
        weights, _, _ = Checkpoints(tmp_path / name / "checkpoints").load("last")
        return sum((weights[k] - initial[k]).square().sum().item() for k in weights) ** 0.5

    assert distance_moved("tight") == pytest.approx(1e-3, rel=1e-2)
    assert distance_moved("none") > 1.0


def test_evaluated_model_is_moving_average(tmp_path):
    run(tmp_path, "trainer.ema_decay=0.9", "trainer.max_epochs=3", "trainer.batch_size=100")
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    best, _, _ = checkpoints.load("best")
    last, state, _ = checkpoints.load("last")
    average = state["ema"]["average"]
    names = [name for name, _ in dgm_run.load(tmp_path).model.named_parameters()]
    assert state["stopping"]["best_epoch"] == 3, "the last epoch should be the best here"
    assert all(torch.equal(best[name], value) for name, value in zip(names, average, strict=True))
    assert not torch.equal(best[names[0]], last[names[0]])


@pytest.mark.parametrize("precision", ["fp64", "bf16"])
def test_other_precisions_train_and_evaluate(precision, tmp_path):
    results = run(tmp_path, f"trainer.precision={precision}", "trainer.max_epochs=2")
    single = run(tmp_path / "fp32", "trainer.max_epochs=2")
    assert results["estimates"][0]["value"] == pytest.approx(single["estimates"][0]["value"], abs=1.5)
    weights, _, _ = Checkpoints(tmp_path / "checkpoints").load("last")
    dtype = torch.float64 if precision == "fp64" else torch.float32
    assert all(value.dtype == dtype for value in weights.values())


@pytest.mark.slow
def test_a_compiled_step_gives_the_same_loss(tmp_path):
    loss = []
    for compiled in ("false", "true"):
        run(tmp_path / compiled, f"trainer.compile={compiled}", "dataset.binarize=threshold", "optimizer.lr=1e-30",
            "objective.num_samples=100")  # fmt: skip
        loss += values(tmp_path / compiled, "train/loss")
    assert loss[0] == pytest.approx(loss[1], abs=0.2)


@pytest.mark.parametrize(
    ("setting", "max_epochs", "compilers", "expected"),
    [
        ("auto", 4, ("sh",), False),
        ("auto", 5, ("sh",), True),
        ("auto", 5, (), False),
        (True, 4, (), True),
        (False, 5, ("sh",), False),
    ],
)
def test_step_compiled_by_number_of_steps(setting, max_epochs, compilers, expected, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(loop_settings, "CPP_COMPILERS", compilers)
    cfg = compose(f"trainer.compile={setting}", f"trainer.max_epochs={max_epochs}", "trainer.batch_size=1")
    assert instantiate(cfg.trainer).compiles_step(4_000) is expected


@pytest.mark.parametrize(("cxx", "expected"), [("", False), ("/nonexistent/g++", False), ("sh -x", True)])
def test_compiler_in_the_environment_decides(cxx, expected, monkeypatch):
    monkeypatch.setenv("CXX", cxx)
    cfg = compose("trainer.compile=auto", "trainer.batch_size=1")
    assert instantiate(cfg.trainer).compiles_step(4_000) is expected


def test_run_says_whether_it_compiles(tmp_path, capsys):
    run(tmp_path, "trainer.compile=auto")
    assert "trainer.compile=auto: not compiling the step, of which there are" in capsys.readouterr().out


@pytest.mark.parametrize("schedule", ["constant", "cosine", "plateau", "burda"])
def test_learning_rate_follows_schedule(schedule, tmp_path):
    run(tmp_path, f"schedule={schedule}", "trainer.max_epochs=5", "optimizer.lr=1e-3",
        *(["schedule.patience=0", "optimizer.weight_decay=0.9"] if schedule == "plateau" else []))  # fmt: skip
    rates = values(tmp_path, "train/learning_rate")
    if schedule == "constant":
        assert rates == [1e-3] * 5
    elif schedule == "cosine":
        assert rates == pytest.approx([1e-3 * (1 + np.cos(np.pi * t / 5)) / 2 for t in range(5)])
    elif schedule == "burda":
        assert rates == pytest.approx([1e-3 * 10 ** (-i / 7) for i in (0, 1, 1, 1, 2)])
    else:
        assert set(np.round(np.log2(1e-3 / np.array(rates)), 6)) <= {0.0, 1.0, 2.0, 3.0, 4.0}


def test_lost_best_checkpoint_is_an_error(tmp_path):
    run(tmp_path, "trainer.max_epochs=3", "trainer.batch_size=100", "trainer.checkpoint_seconds=1e-9")
    weights = tmp_path / "checkpoints" / "best" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"the best checkpoint, of epoch 3, is lost: .*best is damaged"):
        run(tmp_path, "trainer.max_epochs=3", "trainer.batch_size=100", "trainer.checkpoint_seconds=1e-9",
            "trainer.resume=auto")  # fmt: skip


def test_non_finite_validation_stops_run(tmp_path, monkeypatch):
    monkeypatch.setattr("dgm_run.trainers.training_loop.validate", lambda *arguments: {"elbo": float("nan")})
    with pytest.raises(TrainingError, match=r"valid/elbo is nan after step 3 \(seed 0\)"):
        run(tmp_path)


@pytest.mark.parametrize("option", ["optimizer.lr=-1", "optimizer.lr=fast"])
def test_what_optimizer_refuses_is_one_line(option, tmp_path):
    from dgm_run.errors import ConfigError

    with pytest.raises(ConfigError, match="optimizer"):
        run(tmp_path, option)


def test_persistent_chains_and_centering_go_on_after_a_resume(tmp_path):
    options = ("objective.centering_rate=0.01", "schedule=constant", "trainer.batch_size=100", "trainer.eval_every=1",
               "objective.partition.fallback.num_temperatures=5", "objective.partition.max_log2_states=1")  # fmt: skip

    def train(name, epochs, *more):
        overrides = (*TINY_ENERGY, *options, f"trainer.max_epochs={epochs}", *more)
        dgm_run.run(dgm_run.compose(*overrides), tmp_path / name)
        weights, state, _ = Checkpoints(tmp_path / name / "checkpoints").load("last")
        return weights | state["update"]["objective"][0]

    whole = train("whole", 4)
    train("resumed", 2)
    resumed = train("resumed", 4, "trainer.resume=auto")
    assert {"chains", "state_mean", "hidden_mean", "weight"} <= set(whole)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "resumed")


def test_stop_in_evaluation_loses_nothing(tmp_path, monkeypatch):
    run(tmp_path / "whole", "trainer.max_epochs=2")
    with monkeypatch.context() as patch:
        stop_after(2, patch)  # a look after each step of the first epoch but the last, then that of the evaluation
        with pytest.raises(Interrupted, match="stopped in the evaluation after step 3"):
            run(tmp_path / "resumed", "trainer.max_epochs=2")
    assert not values(tmp_path / "resumed", "valid/elbo")
    assert Checkpoints(tmp_path / "resumed" / "checkpoints").load("last")[1]["step"] == 3
    run(tmp_path / "resumed", "trainer.max_epochs=2", "trainer.resume=auto")
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "resumed")


def test_training_keeps_weight_norm_limit(tmp_path):
    options = ("objective.max_norm=0.05", "optimizer.lr=0.5", "objective.partition.fallback.num_temperatures=5")
    dgm_run.run(dgm_run.compose(*TINY_ENERGY, *options), tmp_path)
    weights, _, _ = Checkpoints(tmp_path / "checkpoints").load("last")
    assert weights["weight"].norm(dim=0).max() <= 0.05 * (1 + 1e-6)
