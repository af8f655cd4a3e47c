"""Messages for configurations that cannot be built: each is one line and names the key."""

import pytest

from dgm_run.config.compose import compose
from dgm_run.config.validate import validate
from dgm_run.errors import ConfigError, OutOfMemory
from tests.support.tiny import run_refused

LINES = {
    "dataset=image_folder": "dataset.source.path: it is not set: add dataset.source.path=...",
    "dataset=arrays": "dataset.source.path: it is not set: add dataset.source.path=...",
    "dataset=text_file model=language_model": "dataset.source.path: it is not set: add dataset.source.path=...",
    "~seed": "seed: it is not set: add seed=...",
    "seed=${nope}": "seed: it refers to nope, and there is no such key",
    "trainer._target_=${nope}": "trainer._target_: it refers to nope, and there is no such key",
    "data_dir=${oc.env:NOPE}": "data_dir: it refers to the environment variable NOPE, which is not set",
    "model=boltzmann estimators=[linear_baseline]": "estimators.linear_baseline.latent_dim: it refers to "
    "model.latent_dim, and there is no such key",
    "optimizer.betas=[0.9]": "optimizer.betas = [0.9] must be 2 numbers, each in [0, 1)",
    "optimizer.lr=-1": "optimizer.lr = -1 must be greater than 0",
    "optimizer.lr=abc": "optimizer.lr: Value 'abc' of type 'str' could not be converted to Float",
    "optimizer=sgd optimizer.momentum=2": "optimizer.momentum = 2 must be in [0, 1)",
    "optimizer=sgd optimizer.momentum=0 optimizer.nesterov=true": "optimizer: Nesterov momentum requires a momentum "
    "and zero dampening",
    "schedule=burda schedule.milestones=3": "schedule: cannot be built (TypeError: 'int' object is not iterable)",
    "schedule=plateau schedule.factor=1": "schedule: Factor should be < 1.0.",
    "schedule=linear_with_momentum": "schedule: Adam has no momentum to schedule: choose optimizer=sgd",
    "model=dbm trainer.pretraining.optimizer.lr=-1": "trainer.pretraining.optimizer.lr = -1 must be greater than 0",
    "schedule=linear trainer.max_epochs=-1": "trainer.max_epochs = -1 must be at least 1",
    "trainer.ema_decay=nan": "trainer.ema_decay = nan must be in (0, 1), or null",
    "trainer.checkpoint_seconds=nan": "trainer.checkpoint_seconds = nan must be greater than 0",
    "trainer.image_every_epochs=${seed}": "trainer.image_every_epochs = 0 must be at least 1, or null",
    "model=rbm model.init_scale=-1": "model.init_scale = -1 must be at least 0",
    "likelihood=gaussian likelihood.scale=nan": "likelihood.scale = nan must be greater than 0",
    "dataset.shape=[-1]": "dataset.shape = [-1]: each must be at least 1",
    "dataset.source=3": "dataset.source: Value '3' of type 'int' could not be converted to Callable",
    "published=3": "published: a preset sets it, with kind, values and source: leave it out",
    "published=3 seed=1 prior=mixture": "published: a preset sets it, with kind, values and source: leave it out",
    "+trainer.epochs=3": "trainer.epochs: GradientTrainer has no argument epochs; did you mean trainer.max_epochs?",
}


@pytest.mark.parametrize("line", LINES)
def test_build_error_names_the_key(line):
    with pytest.raises(ConfigError) as error:
        validate(compose(*line.split()))
    assert str(error.value) == LINES[line]


@pytest.mark.parametrize(
    "line",
    [
        "objective=renyi objective.alpha=-inf",
        "encoder.hidden_dims=[${model.latent_dim}]",
        "optimizer=sgd optimizer.momentum=0",
        "schedule=plateau",
        "schedule=burda",
        "trainer.patience=null trainer.clip_norm=null",
        "encoder.hidden_dims=[]",
        "posterior.log_var_range=[-3,1]",
    ],
)
def test_configuration_at_edge_is_taken(line):
    assert validate(compose(*line.split())) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seed=${nope}"], "seed: it refers to nope, and there is no such key\n"),
        (["hydra.run.dir=${nope}"], "hydra.run.dir: it refers to nope, and there is no such key\n"),
        (["++seed=x"], "seed: Value 'x' of type 'str' could not be converted to Integer\n"),
        (["+seed=1"], "+seed: this key exists: write it without +\n"),
        (["~trainer.max_steps"], "~trainer.max_steps: it is null: there is nothing to delete\n"),
        (
            ["model=rbm", "estimators.energy.reverse_ais=null", "estimators.energy.reverse_ais.num_chains=2"],
            "estimators.energy.reverse_ais.num_chains: estimators.energy.reverse_ais=null removes the node that holds "
            "it: leave one of the two out\n",
        ),
        (["seed=1,2"], "seed=1,2: add -m to run one after the other\n"),
        (
            ["model=boltzmann", "posterior.min_scale=1"],
            "posterior.min_scale: no posterior is chosen: choose one, or drop this override\n",
        ),
    ],
)
def test_the_command_says_so_in_one_line(arguments, message, tmp_path, monkeypatch, capfd):
    assert run_refused(arguments, tmp_path, monkeypatch, capfd) == (1, message)


def test_a_model_beyond_memory_is_refused_in_words():
    from dgm_run.runner.assemble import check_config

    with pytest.raises(OutOfMemory, match=r"^out of memory \(.* asked for\): the model is too large: lower"):
        check_config(compose("encoder.hidden_dims=[1000000000000]"))


def test_columns_are_read_from_the_table():
    cfg = compose("dataset=wine", "dataset.source.use=[categorical]")
    validate(cfg)
    (column,) = cfg.dataset.columns
    assert (column.name, column.kind, list(column["values"])) == (
        "cultivar",
        "categorical",
        ["class_0", "class_1", "class_2"],
    )
    assert cfg.encoder.columns == cfg.dataset.columns
    assert cfg.dataset.shape == [1]
    validate(cfg)  # known columns stay
    assert len(cfg.dataset.columns) == 1


@pytest.mark.parametrize("model", ["boltzmann", "rbm", "dbm", "gan", "vae", "m1_m2", "language_model"])
def test_without_training_its_settings_are_dropped(model):
    cfg = compose(f"model={model}", "trainer=none", *(["dataset=pcfg"] if model == "language_model" else []))
    validate(cfg)
    assert (cfg.objective, cfg.optimizer, cfg.schedule) == (None, None, None)
