import re

import pytest
import torch

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.distributed.signals import Interrupted
from dgm_run.errors import ConfigError
from dgm_run.objectives.adversarial import Adversarial
from dgm_run.recording.checkpoint import Checkpoints
from dgm_run.runner.run_folder import load_model
from tests.support.tiny import SHORT, metrics, stop_after

SMALL = ("model=gan", *SHORT, "trainer.max_epochs=4", "trainer.eval_every=2", "estimators=[]",
         "likelihood.scale=0.1")  # fmt: skip
NETWORKS = ("encoder.hidden_dims=[20]", "decoder.hidden_dims=[20]")


def run(folder, *overrides, networks=NETWORKS):
    return dgm_run.run(dgm_run.compose(*SMALL, *networks, *overrides), folder)


def test_both_networks_learn_and_what_they_do_is_logged(tmp_path):
    torch.manual_seed(0)
    run(tmp_path)
    weights, _, _ = Checkpoints(tmp_path / "checkpoints").load("last")
    names = {line["name"] for line in metrics(tmp_path)}
    of_steps = ("discriminator", "generator", "logit_data", "logit_samples", "penalty", "slope",
                "discriminator_gradient", "generator_gradient")  # fmt: skip
    of_looks = ("similarity", "precision", "recall", "spread", "logit_data", "singular_value_1")
    assert {f"train/{name}" for name in of_steps} | {f"valid/{name}" for name in of_looks} <= names
    start = instantiate(dgm_run.compose(*SMALL, *NETWORKS).model).state_dict()
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


def test_generator_has_learning_rate(tmp_path):
    run(tmp_path / "a", "trainer.generator_lr_ratio=1e-9", "trainer.ema_decay=null")
    run(tmp_path / "b", "trainer.generator_lr_ratio=1e-9", "trainer.ema_decay=null", "trainer.max_epochs=1")
    a, b = (load_model(tmp_path / name) for name in "ab")
    torch.testing.assert_close(a.decoder.output.weight, b.decoder.output.weight, rtol=0, atol=1e-7)


def test_discriminator_that_wins_is_reported(tmp_path, capsys):
    run(tmp_path, "objective.r1=0", "optimizer.lr=0.02", "trainer.generator_lr_ratio=1e-9", "trainer.max_epochs=30")
    told = re.search(
        r"the discriminator wins \(it takes ([\d.]+)% of the data for data, and ([\d.]+)% of the samples",
        capsys.readouterr().out,
    )
    assert float(told[1]) >= 99 > 1 >= float(told[2])


def test_gradients_are_measured_before_they_are_clipped(tmp_path):
    run(tmp_path, "trainer.clip_norm=1e-6", "trainer.max_steps=1", "trainer.ema_decay=null")
    norms = {line["name"]: line["value"] for line in metrics(tmp_path)}
    torch.manual_seed(0)
    assert norms["train/discriminator_gradient"] > 1e-3
    assert norms["train/generator_gradient"] > 1e-3


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"precision": 0.9, "recall": 0.01, "spread": 0.8}, "90% of the samples lie among the data, 1.0% of the data"),
        ({"precision": 0.0, "recall": 0.0, "spread": 0.02}, "samples are 2.0% as far apart as data"),
    ],
)
def test_collapse_at_two_looks_reported_once(seen, words, tmp_path, capsys, monkeypatch):
    well = {"precision": 0.0, "recall": 0.0, "spread": 0.8}  # far from the data, as at the start
    looks = iter([seen, well, seen, seen, seen])
    monkeypatch.setattr(Adversarial, "evaluate", lambda *_: {"similarity": -1.0} | next(looks))
    run(tmp_path, "trainer.max_epochs=10")
    told = [line for line in capsys.readouterr().out.splitlines() if "collapse: " in line]
    assert len(told) == 1
    assert told[0].startswith(f"step 24: collapse: {words}")


def test_ema_includes_batch_norm_statistics(tmp_path, monkeypatch):
    networks = ("decoder=dcgan", "encoder=dcgan", "decoder.base_channels=4", "decoder.channels=[4,4]",
                "encoder.channels=[4,4,4]", "model.spectral_norm=true", "objective=hinge")  # fmt: skip
    run(tmp_path / "whole", networks=networks)
    with monkeypatch.context() as patch:
        stop_after(7, patch)
        with pytest.raises(Interrupted):
            run(tmp_path / "parts", networks=networks)
    run(tmp_path / "parts", f"trainer.resume={tmp_path / 'parts'}", networks=networks)
    for name in ("last", "best"):
        whole, parts = (Checkpoints(tmp_path / part / "checkpoints").load(name)[0] for part in ("whole", "parts"))
        assert all(torch.equal(whole[key], parts[key]) for key in whole)
    means = [name for name in whole if name.endswith("running_mean")]
    last = Checkpoints(tmp_path / "whole" / "checkpoints").load("last")[0]
    assert len(means) == 2
    assert not any(torch.equal(whole[name], last[name]) for name in means)


def test_compilation_and_other_models_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="set trainer.compile=false"):
        run(tmp_path / "a", "trainer.compile=true")
    with pytest.raises(ConfigError, match="AdversarialTrainer needs model to be of kind GAN"):
        dgm_run.run(dgm_run.compose("trainer=adversarial"), tmp_path / "b")


def test_few_validation_examples_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="more than 3 validation examples and has 3: raise dataset.source"):
        run(tmp_path, "dataset.source.num_valid=3")
    assert not (tmp_path / "checkpoints" / "last").exists()


@pytest.mark.slow
def test_on_digits_default_comes_near_data(tmp_path):
    networks = [f"{part}.hidden_dims=[128,128]" for part in ("encoder", "decoder")]
    activations = [f"{part}.activation=leaky_relu" for part in ("encoder", "decoder")]
    features = ("estimators=[sample_quality]", "estimators.sample_quality.features=pixels")
    found = run(tmp_path, "trainer.batch_size=64", "trainer.max_epochs=500", *networks, *activations, *features)
    losses = [line["value"] for line in metrics(tmp_path) if line["name"] == "train/discriminator"]
    assert losses[-1] == pytest.approx(1.386, abs=0.03)
    quality = {row["quantity"]: row["value"] for row in found["estimates"]}
    assert quality["coverage"] >= 0.75
    assert quality["c2st_linear"] <= 0.60
