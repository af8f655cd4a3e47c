"""Layer by layer, through whole runs on tiny data."""

import itertools
import json
from functools import cache

import pytest
import torch

import dgm_run
from dgm_run.config.validate import validate
from dgm_run.distributed.signals import Interrupted
from dgm_run.errors import CheckpointError, ConfigError, TrainingError
from dgm_run.recording.checkpoint import Checkpoints
from tests.support.tiny import TINY_LAYERS, metrics, stop_after

QUICK = ("trainer.batch_size=100", "trainer.eval_every=1", "trainer.max_epochs=2", "trainer.pretraining.max_epochs=2",
         "trainer.pretraining.eval_every=1")  # fmt: skip


def run(folder, model, *overrides):
    return dgm_run.run(dgm_run.compose(f"model={model}", *TINY_LAYERS, *QUICK, *overrides), folder)


def load_results(folder):
    return json.loads((folder / "results.json").read_text())


def everything(folder):
    """Loads every tensor of the checkpoint `last`: those of the model, the optimizer and the objective."""
    weights, state, _ = Checkpoints(folder / "checkpoints").load("last")
    return weights | state["update"]["objective"][0]


@pytest.fixture(scope="module")
def whole_runs(tmp_path_factory):
    """Returns the folder of a whole run, trained at the first request for its model."""

    @cache
    def train(model):
        folder = tmp_path_factory.mktemp(model)
        run(folder, model)
        return folder

    return train


@pytest.mark.xdist_group("whole layers")
@pytest.mark.parametrize("model", ["dbn", "dbm"])
def test_layers_are_trained_in_order(model, whole_runs):
    results = load_results(whole_runs(model))
    lines = metrics(whole_runs(model))
    steps = [line["step"] for line in lines]
    assert steps == sorted(steps)
    names = {line["name"] for line in lines if line["name"].endswith("valid/log_likelihood")}
    assert names == {"layer_1/valid/log_likelihood", "layer_2/valid/log_likelihood", "valid/log_likelihood"}
    first = {name: next(line["epoch"] for line in lines if line["name"] == name) for name in names}
    assert [first[name] for name in sorted(names)] == [1, 3, 5]
    training = results["training"]
    assert (training["epochs"], training["steps"]) == (6, 3 * 2 * 13)
    assert training["monitor"] == "valid/log_likelihood"
    watched = {line["epoch"]: line["value"] for line in lines if line["name"] == "valid/log_likelihood"}
    assert watched[training["best_epoch"]] == training["best"] == max(watched.values())
    assert {row["quantity"] for row in results["estimates"]} >= {"log_likelihood", "elbo", "log_partition", "baseline"}


def test_layer_training_changes_one_layer(tmp_path):
    run(tmp_path, "dbn", "trainer.joint=false")
    best, _, _ = Checkpoints(tmp_path / "checkpoints").load("best_of_layer_1")
    model = dgm_run.load(tmp_path).model
    layer = model.layers[0]
    torch.testing.assert_close(layer.generation.weight.detach(), best["weight"])
    torch.testing.assert_close(layer.recognition.weight.detach(), best["weight"].T)
    top, _, _ = Checkpoints(tmp_path / "checkpoints").load("best_of_layer_2")
    assert all(torch.equal(value, top[name]) for name, value in model.top.state_dict().items())


def test_without_joint_training_the_last_layer_ends_the_run(tmp_path, capsys):
    training = run(tmp_path, "dbm", "trainer.joint=false")["training"]
    assert "\nepochs: layer 1: 2, layer 2: 2\n" in capsys.readouterr().out
    assert (training["epochs"], training["monitor"]) == (4, "layer_2/valid/log_likelihood")
    assert not [line for line in metrics(tmp_path) if line["name"].startswith("valid/")]
    best, last = (Checkpoints(tmp_path / "checkpoints").load(name)[0] for name in ("best", "last"))
    assert (tmp_path / "checkpoints" / "best").is_dir()
    assert all(torch.equal(value, last[name]) for name, value in best.items())
    assert run(tmp_path, "dbm", "trainer.joint=false", "trainer.resume=auto")["training"] == training


LOOKS = [6, 38, 72]
"""Looks at the request to stop: in the first layer, in the second, in the whole."""
FAST_STOPS = [("dbn", 6), ("dbm", 38), ("dbn", 72)]


@pytest.mark.xdist_group("whole layers")
@pytest.mark.parametrize(
    ("model", "looks"),
    [
        *FAST_STOPS,
        *(
            pytest.param(*stop, marks=pytest.mark.slow)
            for stop in itertools.product(["dbn", "dbm"], LOOKS)
            if stop not in FAST_STOPS
        ),
    ],
)
def test_stopped_run_ends_like_a_whole_one(model, looks, whole_runs, tmp_path, monkeypatch):
    whole = whole_runs(model)
    with monkeypatch.context() as patch:
        stop_after(looks, patch)
        with pytest.raises(Interrupted):
            run(tmp_path, model)
    _, state, _ = Checkpoints(tmp_path / "checkpoints").load("last")
    assert state["layer"] == LOOKS.index(looks)
    run(tmp_path, model, "trainer.resume=auto")
    resumed = everything(tmp_path)
    assert all(torch.equal(value, resumed[name]) for name, value in everything(whole).items())
    assert metrics(whole) == metrics(tmp_path)


def test_models_without_layers_are_refused():
    with pytest.raises(ConfigError, match="LayerwiseTrainer needs model to be of kind LayeredModel; RBM is not"):
        validate(dgm_run.compose("model=rbm", "trainer=layerwise"))


def test_a_deep_machine_can_be_trained_without_layers_before(tmp_path):
    results = dgm_run.run(
        dgm_run.compose("model=dbm", "trainer=gradient", "model.num_hidden=[8,8]", "objective.centering_rate=0.01",
                        "trainer.max_epochs=1", "trainer.threads=1"), tmp_path
    )  # fmt: skip
    assert results["training"]["epochs"] == 1


def test_numbers_that_not_positive_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"trainer.pretraining.max_epochs = 0 must be at least 1"):
        run(tmp_path, "dbn", "trainer.pretraining.max_epochs=0")


def test_an_objective_that_trains_no_layer_is_refused(tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"trainer.pretraining.objective: needs to be of kind EnergyObjective; ELBO is not",
    ):
        dgm_run.run(dgm_run.compose("model=dbn", "objective@trainer.pretraining.objective=elbo"), tmp_path)


def test_layer_starts_at_means_of_data(tmp_path):
    run(tmp_path, "dbn", "trainer.joint=false", "trainer.pretraining.optimizer.lr=1e-12")
    first, second = (Checkpoints(tmp_path / "checkpoints").load(f"best_of_layer_{n}")[0] for n in (1, 2))
    for layer in (first, second):
        assert layer["base_logits"].abs().max() > 0.01
        torch.testing.assert_close(layer["visible_bias"], layer["base_logits"])


def test_diverging_layer_names_its_rate_key(tmp_path):
    with pytest.raises(TrainingError, match="lower trainer.pretraining.optimizer.lr or set trainer.clip_norm"):
        run(tmp_path / "high", "dbm", "trainer.pretraining.optimizer.lr=1e30")
    with pytest.raises(ConfigError, match=r"trainer.pretraining.optimizer.lr = -1 must be greater than 0"):
        run(tmp_path / "negative", "dbm", "trainer.pretraining.optimizer.lr=-1")


@pytest.mark.xdist_group("whole layers")
@pytest.mark.parametrize("model", ["dbn", "dbm"])
def test_half_precision_trains_every_layer(model, whole_runs, tmp_path):
    single = load_results(whole_runs(model))["estimates"][0]["value"]
    half = run(tmp_path, model, "trainer.precision=bf16")["estimates"][0]["value"]
    assert half == pytest.approx(single, abs=0.5)


def test_lr_ratio_scales_the_upper_layer(tmp_path):
    run(tmp_path, "dbn", "trainer.pretraining.optimizer.lr=0.08", "trainer.pretraining.lr_ratio=0.25")
    lines = [line for line in metrics(tmp_path) if line["name"].endswith("learning_rate")]
    first = {line["name"]: line["value"] for line in reversed(lines)}
    assert first["layer_1/train/learning_rate"] == pytest.approx(4 * first["layer_2/train/learning_rate"])
    assert 0 < first["layer_1/train/learning_rate"] <= 0.08


ONE_STEP = ("trainer.batch_size=1257", "trainer.eval_every=9", "trainer.pretraining.eval_every=9", "estimators=[]")
"""Each epoch."""


def divide_epochs(model, *overrides):
    cfg = dgm_run.compose(f"model={model}", *overrides)
    validate(cfg)
    return cfg


@pytest.mark.parametrize(
    ("model", "total", "epochs"),
    [
        ("dbm", 83, (28, 27)),  # of 2 x 100 and 100
        ("dbm", 3, (1, 1)),
        ("dbn", 83, (33, 17)),  # of 2 x 100 and 50
        ("dbn", 3, (1, 1)),
        ("dbn", 250, (100, 50)),
        ("m1_m2", 12, (2, 10)),  # of 100 and 500
        ("m1_m2", 2, (1, 1)),
    ],
)
def test_epochs_are_divided_in_their_ratio(model, total, epochs):
    cfg = divide_epochs(model, f"trainer.total_epochs={total}")
    assert (cfg.trainer.pretraining.max_epochs, cfg.trainer.max_epochs) == epochs
    layers = 1 if model == "m1_m2" else 2
    assert layers * epochs[0] + epochs[1] == total
    before = cfg.copy()
    validate(cfg)
    assert cfg == before


def test_epochs_of_layers_alone_are_divided():
    cfg = divide_epochs("dbn", "trainer.total_epochs=7", "trainer.joint=false", "model.num_hidden=[8,8,8]")
    assert cfg.trainer.pretraining.max_epochs == 2


@pytest.mark.parametrize("model", ["vae", "gan", "factor_analysis"])
def test_one_stage_gets_all_epochs(model):
    assert divide_epochs(model, "trainer.total_epochs=7", "schedule=cosine").schedule.T_max == 7


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("dbm", "trainer.total_epochs=2"), "2: 2 layers and the whole model must have an epoch each: set 3 or more"),
        (("dbm", "trainer.total_epochs=1", "trainer.joint=false"), "1: 2 layers must have an epoch each: set 2 or"),
        (("m1_m2", "dataset.num_labels=100", "trainer.total_epochs=1"), "1: 1 layer and the whole model must"),
        (("vae", "trainer.total_epochs=0"), "0: the whole model must have an epoch"),
        (("vae", "trainer.total_epochs=abc"), "Value 'abc' of type 'str' could not be converted to Integer or null"),
    ],
)
def test_too_few_epochs_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        divide_epochs(*overrides)


def test_schedules_follow_the_divided_epochs(tmp_path, capsys):
    tiny = [option for option in TINY_LAYERS if not option.startswith(("estimators", "trainer."))]
    cfg = dgm_run.compose("model=dbn", *tiny, *ONE_STEP, "trainer.total_epochs=7", "trainer.device=cpu")
    training = dgm_run.run(cfg, tmp_path)["training"]
    assert training["epochs"] == 7
    told = capsys.readouterr().out
    assert told.index("epochs: layer 1: 3, layer 2: 3, all layers together: 1") < told.index("layer 1 of 2")
    found = {}
    for line in metrics(tmp_path):
        if line["name"].endswith("learning_rate"):
            found.setdefault(line["name"], []).append(line["value"])
    assert found["layer_2/train/learning_rate"] == pytest.approx([0.05, 0.05 * 2 / 3, 0.05 / 3])
    saved = dgm_run.runner.run_folder.load_config(tmp_path)
    assert (saved["trainer"]["max_epochs"], saved["schedule"]["total_iters"]) == (1, 1)
    assert saved["trainer"]["pretraining"]["schedule"]["total_iters"] == 3


def test_another_sum_does_not_change_layers(tmp_path):
    tiny = [option for option in TINY_LAYERS if not option.startswith(("estimators", "trainer."))]
    choice = ("model=dbm", *tiny, *ONE_STEP, "schedule=constant", "trainer.device=cpu")
    dgm_run.run(dgm_run.compose(*choice, "trainer.total_epochs=3"), tmp_path)
    with pytest.raises(CheckpointError) as error:
        dgm_run.run(dgm_run.compose(*choice, "trainer.total_epochs=6", "trainer.resume=auto"), tmp_path)
    assert str(error.value) == (
        "trainer.resume: trainer.total_epochs=6 would change the epochs of layers (trainer.pretraining.schedule."
        "total_iters: 1 -> 2; trainer.pretraining.max_epochs: 1 -> 2): keep trainer.total_epochs=3, or start a new "
        "run; to add epochs after the layers: trainer.total_epochs=null trainer.pretraining.max_epochs=1 and "
        "trainer.max_epochs=1 or more"
    )
    advised = ("trainer.total_epochs=null", "trainer.pretraining.max_epochs=1", "trainer.max_epochs=2")
    training = dgm_run.run(dgm_run.compose(*choice, *advised, "trainer.resume=auto"), tmp_path)["training"]
    assert training["epochs"] == 4
    fewer = (*advised[:2], "trainer.max_epochs=1", "trainer.resume=auto")
    with pytest.raises(CheckpointError, match=r"2 epochs are trained already, more than trainer.max_epochs=1"):
        dgm_run.run(dgm_run.compose(*choice, *fewer), tmp_path)


def test_schedule_of_layers_is_not_outlived(tmp_path):
    with pytest.raises(ConfigError, match=r"trainer.pretraining.schedule.total_iters=1: the learning rate is zero"):
        run(tmp_path, "dbm", "trainer.pretraining.schedule.total_iters=1")
    with pytest.raises(ConfigError, match=r"^schedule.total_iters=1: .* 2 are to be trained: set trainer.max_epochs=1"):
        run(tmp_path / "whole", "dbm", "schedule.total_iters=1")
