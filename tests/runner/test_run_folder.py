import copy
import os
from pathlib import Path

import pytest
import torch

import dgm_run
from dgm_run.config.validate import validate
from dgm_run.errors import CheckpointError
from dgm_run.runner.run_folder import (
    config_hash,
    config_path,
    describe_config_change,
    diff_configs,
    load_model,
    resolve_config,
    save_config,
)
from tests.support.tiny import TINY


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "vamp"
    dgm_run.run(dgm_run.compose("prior=vampprior", *TINY), folder)
    return folder


def test_diff_names_all_fixed_keys():
    saved = {"a": 1, "trainer": {"max_epochs": 1, "batch_size": 2}, "prior": {"k": 3}, "estimators": {"x": 1}}
    now = {"a": 1, "trainer": {"max_epochs": 9, "batch_size": 4}, "prior": None, "estimators": {}, "new": 5}
    assert diff_configs(saved, now) == ["trainer.batch_size: 2 -> 4", "prior: {'k': 3} -> None", "new: None -> 5"]


BEGUN = {
    "schedule": {"T_max": 2},
    "trainer": {"max_epochs": 2, "total_epochs": None, "pretraining": {"max_epochs": 3}},
    "seed": 0,
}


def with_values(**values):
    """`BEGUN`, but for some keys: schedule__T_max=4."""
    changed = copy.deepcopy(BEGUN)
    for key, value in values.items():
        *path, last = key.split("__")
        node = changed
        for name in path:
            node = node[name]
        node[last] = value
    return changed


CHANGED = "the configuration has changed ({}): keep the former values, or start a new run"


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ({}, None),
        ({"trainer__max_epochs": 4}, None),
        ({"schedule__T_max": 4}, CHANGED.format("schedule.T_max: 2 -> 4")),
        (
            {"trainer__max_epochs": 4, "schedule__T_max": 5},
            CHANGED.format("schedule.T_max: 2 -> 5"),
        ),
        (
            {"trainer__max_epochs": 4, "schedule__T_max": 4, "seed": 1},
            CHANGED.format("schedule.T_max: 2 -> 4; seed: 0 -> 1"),
        ),
        (
            {"trainer__pretraining__max_epochs": 4},
            CHANGED.format("trainer.pretraining.max_epochs: 3 -> 4"),
        ),
        (
            {"trainer__max_epochs": 4, "schedule__T_max": 4},
            "trainer.max_epochs=4 would change the learning-rate schedule (schedule.T_max: 2 -> 4): keep "
            "trainer.max_epochs=2, or start a new run: only with schedule=constant, burda or plateau can epochs be "
            "added later",
        ),
        (
            {"trainer__max_epochs": 1, "schedule__T_max": 1},
            "trainer.max_epochs=1 would change the learning-rate schedule (schedule.T_max: 2 -> 1): to end earlier on "
            "the same schedule add schedule.T_max=2; else keep trainer.max_epochs=2, or start a new run",
        ),
        (
            {"trainer__total_epochs": 9, "trainer__pretraining__max_epochs": 5},
            "trainer.total_epochs=9 would change the epochs of layers (trainer.pretraining.max_epochs: 3 -> 5): keep "
            "trainer.total_epochs=null, or start a new run",
        ),
    ],
)
def test_what_a_resumed_run_changes_is_named(now, message):
    assert describe_config_change(BEGUN, with_values(**now)) == message


def test_changes_leave_out_where_data_are():
    saved = {"data_dir": "/a", "dataset": {"source": {"path": "/a/x.npz", "decoded": "/a/d", "num_valid": 1}}}
    now = {"data_dir": "/b", "dataset": {"source": {"path": "/b/x.npz", "decoded": "/b/d", "num_valid": 2}}}
    assert diff_configs(saved, now) == ["dataset.source.num_valid: 1 -> 2"]


def test_fingerprint_of_what_decides_result():
    base = {"trainer": {"threads": 1, "batch_size": 100}, "published": None, "seed": 0}
    for same in ({"trainer": {"threads": 2, "batch_size": 100}}, {"published": {"values": {"elbo": -80.0}}}):
        assert config_hash(base | same) == config_hash(base)
    for total in (None, 5):  # the epochs of each stage have been set by it
        assert config_hash(base | {"trainer": base["trainer"] | {"total_epochs": total}}) == config_hash(base)
    for other in ({"trainer": {"threads": 1, "batch_size": 50}}, {"seed": 1}, {"model": {}}):
        assert config_hash(base | other) != config_hash(base)


def test_a_finished_run_loads_in_two_lines_and_samples(run):
    model = dgm_run.load(run)
    x = model.sample(5)
    assert x.shape == (5, 1, 8, 8)
    assert set(x.unique().tolist()) <= {0.0, 1.0}
    assert not model.model.training


def test_the_loaded_weights_are_those_of_the_best_checkpoint(run):
    from safetensors.torch import load_file

    saved = load_file(run / "checkpoints" / "best" / "weights.safetensors")
    assert all(torch.equal(value, saved[name]) for name, value in load_model(run).state_dict().items())


@pytest.mark.parametrize(
    "target",
    ["os.mkdir", "torch.load", "builtins.eval", "dgm_run.recording.log.os.mkdir",
     "dgm_run.recording.checkpoint.shutil.rmtree",
     "dgm_run.runner.run.run", "torch.nn.Linear", "subprocess.Popen"],
)  # fmt: skip
@pytest.mark.parametrize("place", ["model", "model.prior", "model.prior.extra"])
def test_folder_with_foreign_code_is_refused(run, target, place, tmp_path):
    from omegaconf import OmegaConf

    victim = tmp_path / "victim"
    cfg = OmegaConf.load(config_path(run))
    OmegaConf.update(
        cfg, place.replace("model.prior", "prior"), {"_target_": target, "path": str(victim)}, force_add=True
    )
    folder = tmp_path / "folder"
    save_config(folder, OmegaConf.to_container(cfg))
    os.symlink(run / "checkpoints", folder / "checkpoints")
    with pytest.raises(CheckpointError, match=f"{target} is not built from a run folder"):
        load_model(folder)
    assert not victim.exists()


@pytest.mark.parametrize(
    "value",
    ["\\${oc.create:{_target_:pathlib.Path.touch,self:victim}}", "${oc.create:{_target_:os.mkdir,path:victim}}"],
    ids=["escaped", "plain"],
)
def test_interpolated_target_is_refused(run, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from omegaconf import OmegaConf

    cfg = OmegaConf.to_container(OmegaConf.load(config_path(run)))
    cfg["model"]["latent_dim"] = value
    config_path(tmp_path / "folder").parent.mkdir(parents=True)
    import yaml

    config_path(tmp_path / "folder").write_text(yaml.safe_dump(cfg))
    os.symlink(run / "checkpoints", tmp_path / "folder" / "checkpoints")
    with pytest.raises(CheckpointError):
        load_model("folder")
    assert not (tmp_path / "victim").exists()


def test_the_entry_point_is_never_imported_as_a_target(run, tmp_path):
    from omegaconf import OmegaConf

    cfg = OmegaConf.load(config_path(run))
    cfg.prior._target_ = "dgm_run.__main__.main"
    save_config(tmp_path, OmegaConf.to_container(cfg))
    os.symlink(run / "checkpoints", tmp_path / "checkpoints")
    with pytest.raises(CheckpointError, match="__main__.main is not built"):
        load_model(tmp_path)
    import sys

    assert "dgm_run.__main__" not in sys.modules


@pytest.mark.parametrize("file", ["weights.safetensors", "state.json"])
def test_forged_checksum_is_damage(run, file, tmp_path):
    import hashlib
    import json
    import shutil

    shutil.copytree(run, tmp_path / "copy")
    best = tmp_path / "copy" / "checkpoints" / "best"
    (best / file).write_bytes(b"junk")
    manifest = json.loads((best / "manifest.json").read_text())
    manifest[file] = hashlib.sha256(b"junk").hexdigest()
    (best / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="best is damaged"):
        load_model(tmp_path / "copy")


def test_named_package_is_built(run, tmp_path, monkeypatch):
    from omegaconf import OmegaConf

    (tmp_path / "mine.py").write_text("from dgm_run.priors.vampprior import VampPrior\nclass Mine(VampPrior): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    cfg = OmegaConf.load(config_path(run))
    cfg.prior._target_ = "mine.Mine"
    folder = tmp_path / "folder"
    save_config(folder, OmegaConf.to_container(cfg))
    os.symlink(run / "checkpoints", folder / "checkpoints")
    with pytest.raises(CheckpointError, match="mine.Mine is not built"):
        load_model(folder)
    assert type(load_model(folder, packages=["mine"]).prior).__name__ == "Mine"


@pytest.mark.parametrize(
    "content", ["", "model: [", "[]", "!!python/object/apply:os.mkdir ['victim']", "model: ${gone}"]
)
def test_a_broken_configuration_is_one_line(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config_path(tmp_path).parent.mkdir()
    config_path(tmp_path).write_text(content)
    with pytest.raises(CheckpointError) as refused:
        load_model(tmp_path)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "victim").exists()


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="is no run folder"):
        load_model(tmp_path)


def test_weights_of_other_config_are_refused(run, tmp_path):
    from omegaconf import OmegaConf

    cfg = OmegaConf.load(config_path(run))
    cfg.prior.num_components = 7
    save_config(tmp_path, OmegaConf.to_container(cfg))
    os.symlink(run / "checkpoints", tmp_path / "checkpoints")
    with pytest.raises(CheckpointError, match=r"do not fit its configuration: .*raw_pseudo_inputs"):
        load_model(tmp_path)


def test_columns_of_a_table_stand_once():
    cfg = dgm_run.compose("dataset=wine")
    validate(cfg)
    config = resolve_config(cfg)
    assert len(config["dataset"]["columns"]) == 14
    assert config["likelihood"]["columns"] == config["encoder"]["columns"] == "${dataset.columns}"
    changed = copy.deepcopy(config)
    changed["dataset"]["columns"][13]["values"] = ["a", "b"]
    line = "dataset.columns[13].values: ['class_0', 'class_1', 'class_2'] -> ['a', 'b']"
    assert diff_configs(config, changed) == [line]
