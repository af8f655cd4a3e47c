import pytest
import torch
from tiny import SHORT, metrics, stop_after

import dgm_run
from dgm_run.checkpoint import Checkpoints
from dgm_run.config import instantiate
from dgm_run.errors import ConfigError
from dgm_run.run_folder import load
from dgm_run.signals import Interrupted

SMALL = ("model=gan", *SHORT, "trainer.max_epochs=4", "trainer.eval_every=2", "estimators=[]",
         "likelihood.scale=0.1")  # fmt: skip


def run(folder, *overrides):
    return dgm_run.run(dgm_run.compose(*SMALL, *overrides), folder)


def test_both_networks_learn_and_what_they_do_is_logged(tmp_path):
    torch.manual_seed(0)
    run(tmp_path)
    weights, _, _ = Checkpoints(tmp_path / "checkpoints").load("last")
    names = {line["name"] for line in metrics(tmp_path)}
    assert {"train/discriminator", "train/generator", "train/logit_data", "train/penalty", "valid/similarity"} <= names
    start = instantiate(dgm_run.compose(*SMALL).model).state_dict()
    assert all((weights[name] != start[name]).any() for name in ("decoder.output.weight", "head.weight"))
    assert not any(name.startswith("likelihood") for name in weights)


def test_stopped_and_resumed_it_ends_where_it_would_have(tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    extra = ("trainer.num_critic_steps=2", "objective=wasserstein_gp")
    run(whole, *extra)
    with monkeypatch.context() as patch:
        stop_after(9, patch)
        with pytest.raises(Interrupted):
            run(parts, *extra)
    run(parts, *extra, f"trainer.resume={parts}")
    expected, found = (Checkpoints(folder / "checkpoints").load("last") for folder in (whole, parts))
    assert all(torch.equal(expected[0][name], found[0][name]) for name in expected[0])
    averages = expected[1]["ema"]["average"], found[1]["ema"]["average"]
    assert all(torch.equal(a, b) for a, b in zip(*averages, strict=True))


def test_the_generator_has_a_learning_rate_of_its_own(tmp_path):
    run(tmp_path / "a", "trainer.generator_lr_ratio=1e-9", "trainer.ema_decay=null")
    run(tmp_path / "b", "trainer.generator_lr_ratio=1e-9", "trainer.ema_decay=null", "trainer.max_epochs=1")
    a, b = (load(tmp_path / name) for name in "ab")
    torch.testing.assert_close(a.decoder.output.weight, b.decoder.output.weight, rtol=0, atol=1e-7)


def test_a_discriminator_that_wins_is_told_of(tmp_path, capsys):
    run(tmp_path, "objective.r1=0", "optimizer.lr=0.02", "trainer.generator_lr_ratio=1e-9", "trainer.max_epochs=60")
    assert "the discriminator wins" in capsys.readouterr().out


def test_compilation_and_other_models_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="set trainer.compile=false"):
        run(tmp_path / "a", "trainer.compile=true")
    with pytest.raises(ConfigError, match="AdversarialTrainer needs model to be of kind GAN"):
        dgm_run.run(dgm_run.compose("trainer=adversarial"), tmp_path / "b")


@pytest.mark.slow
def test_on_digits_the_default_comes_near_the_data(tmp_path):
    networks = [f"{part}.hidden_dims=[128,128]" for part in ("encoder", "decoder")]
    activations = [f"{part}.activation=leaky_relu" for part in ("encoder", "decoder")]
    run(tmp_path, "trainer.batch_size=64", "trainer.max_epochs=500", *networks, *activations)
    losses = [line["value"] for line in metrics(tmp_path) if line["name"] == "train/discriminator"]
    assert losses[-1] == pytest.approx(1.386, abs=0.03)
    nearest = [line["value"] for line in metrics(tmp_path) if line["name"] == "valid/similarity"]
    assert max(nearest) > -0.01
