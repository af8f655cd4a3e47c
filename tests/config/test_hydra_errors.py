import pytest

from dgm_run.cli.arguments import check_overrides
from dgm_run.config.compose import compose
from dgm_run.config.hydra_errors import describe_unknown_option
from dgm_run.errors import ConfigError
from tests.support.tiny import run_refused

KEYS = {
    "modle=vae": "modle: there is no such key: did you mean model?",
    "priors=vampprior": "priors: there is no such key: did you mean prior?",
    "data=mnist": "data: there is no such key: did you mean dataset?",
    "lr_scheduler=cosine": "lr_scheduler: there is no such key: did you mean schedule?",
    "epochs=3": "epochs: there is no such key: did you mean trainer.max_epochs?",
    "optimizer.learning_rate=3": "optimizer.learning_rate: there is no such key: did you mean optimizer.lr?",
    "lr=3": "lr: there is no such key: did you mean optimizer.lr?",
    "batch_size=3": "batch_size: there is no such key: did you mean trainer.batch_size?",
    "latent_dims=3": "latent_dims: there is no such key: did you mean model.latent_dim?",
    "objective.samples=3": "objective.samples: there is no such key: did you mean objective.num_samples?",
    "hidden_size=3": "hidden_size: there is no such key: did you mean encoder.hidden_dims or decoder.hidden_dims?",
    "output_dir=x": "output_dir: there is no such key: did you mean hydra.run.dir?",
    "debug=fast": "debug: there is no such key: did you mean +debug=NAME?",
    "trainer.max_time=1": "trainer.max_time: there is no such key: did you mean trainer.max_hours?",
    "wandb=true": "wandb: there is no such key: did you mean logger?",
    "experiment=x": "experiment: there is no such key: did you mean +experiment=NAME?",
    "optimiser.lr=1": "optimiser.lr: there is no such key: did you mean optimizer.lr?",
    "optimizer.momentum=0.5": "optimizer.momentum: there is no such key here: optimizer.momentum needs "
    "optimizer=rmsprop | sgd",
    "~nope": "nope: there is no such key: dgm-run ... --cfg job shows all of them",
}
CHOICES = {
    "dataset=MNIST": "dataset=MNIST: there is no such choice: did you mean dataset=mnist? There are arrays, ",
    "dataset=FashionMNIST": "dataset=FashionMNIST: there is no such choice: did you mean dataset=fashion_mnist? ",
    "estimators=[ais]": "estimators=[ais]: there is no such choice: did you mean estimators=energy or "
    "estimators=ais_decoder",
    "prior=normal": "prior=normal: there is no such choice: did you mean prior=standard",
    "model=iwae": "model=iwae: there is no such choice: did you mean objective=iwae? ",
    "dataset/corrupt=missing": "dataset/corrupt=missing: there is no such choice: did you mean dataset/corrupt=missing",
    "dataset/augment=[flipp]": "dataset/augment=[flipp]: there is no such choice: did you mean dataset/augment=flip? ",
    "+experiment=iwae_2016/mnist_iwae_k51": "+experiment=iwae_2016/mnist_iwae_k51: there is no such preset: did you "
    "mean iwae_2016/mnist_iwae_k5",
    "+debug=fst": "+debug=fst: there is no such choice: did you mean +debug=fast? There are fast, overfit",
    "logger=[tensorbord]": "logger=[tensorbord]: there is no such choice: did you mean logger=tensorboard? ",
    "prior=qqqq": "prior=qqqq: there is no such choice: there are autoregressive, ",
}


@pytest.mark.parametrize("override", [*KEYS, *CHOICES])
def test_the_nearest_name_comes_first(override):
    with pytest.raises(ConfigError) as error:
        compose(override)
    assert str(error.value).startswith(KEYS.get(override) or CHOICES[override])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("option", "setting"),
    [
        ("--epochs=3", "trainer.max_epochs=3"),
        ("--batch-size", "trainer.batch_size=VALUE"),
        ("--model=rbm", "model=rbm"),
        ("--seeds=1", "seed=1"),
        ("--dry-run=true", "sweep.dry_run=true"),
    ],
)
def test_an_option_names_its_setting(option, setting):
    assert describe_unknown_option(option) == f"no option {option}: settings have no dashes: did you mean {setting}?"


def test_a_choice_names_its_groups():
    for choice, advice in {"rbm": "model=rbm", "mlp": "encoder=mlp or decoder=mlp", "foo": "foo=VALUE"}.items():
        with pytest.raises(ConfigError, match=f"^{choice}: write {advice}$"):
            check_overrides([choice])


@pytest.mark.parametrize("key", ["dry_run", "sweep.dryrun"])
def test_dry_run_is_suggested(key):
    with pytest.raises(ConfigError, match=r"did you mean sweep.dry_run\?"):
        compose(f"{key}=true")


@pytest.mark.parametrize("value", ["3,4", "range(3)"])
def test_sweep_over_wrong_key_says_right_one(value, tmp_path, monkeypatch, capfd):
    done = run_refused(["-m", f"lr={value}", "prior=standard,mixture"], tmp_path, monkeypatch, capfd)
    assert (done.returncode, done.stderr) == (
        1, "lr: there is no such key: did you mean optimizer.lr? dgm-run ... --cfg job shows all of them\n"
    )  # fmt: skip


def test_choices_of_users_own_are_suggested(tmp_path):
    (tmp_path / "prior").mkdir()
    (tmp_path / "prior" / "mine.yaml").write_text("_target_: mine.MyPrior\nspread: 1.0\n")
    with pytest.raises(ConfigError, match="did you mean prior=mine"):
        compose("prior=mines", config_dir=tmp_path)
    with pytest.raises(ConfigError, match=r"prior.spread needs prior=mine$"):
        compose("prior.spread=2", config_dir=tmp_path)
