import sys

import pytest

from dgm_run.config.own_code import OwnCode, find_packages, list_targets, make_importable, take_options
from dgm_run.errors import ConfigError


@pytest.mark.parametrize("place", range(3))
def test_options_may_stand_anywhere(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    words = ["seed=1", "prior=mine"]
    for options in (["--config-dir", "conf", "--package", "numpy"], ["--package=numpy", "--config-dir=conf"]):
        own, others = take_options([*words[:place], *options, *words[place:]])
        assert own == OwnCode(str(tmp_path / "conf"), ("numpy",))
        assert others == words


def test_packages_of_folder_are_kept_by_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "sub" / "parts").mkdir(parents=True)
    (tmp_path / "mine.py").write_text("")
    arguments = [word for name in ("mine", "sub/parts", "json", "mine.py") for word in ("--package", name)]
    own, _ = take_options(arguments)
    assert own.packages == (str(tmp_path / "mine.py"), str(tmp_path / "sub" / "parts"), "json")
    assert own.names == ("mine", "parts", "json")
    assert make_importable(own.packages) == own.names
    assert {str(tmp_path), str(tmp_path / "sub")} <= set(sys.path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config-dir", "nowhere"], "--config-dir: there is no folder nowhere"),
        (["--config-dir"], "--config-dir: there is no folder "),
        (["--config-dir", ".", "--config-dir", "."], "--config-dir: give it once"),
        (["--package", "a/b"], "--package: there is no package a/b"),
        (["--package"], "--package: there is no package "),
        (["--package", "no-name"], "--package: there is no package no-name"),
    ],
)
def test_bad_options_are_refused(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        take_options(arguments)


def test_package_of_cfg_is_left_to_hydra():
    assert take_options(["--cfg", "job", "--package", "model"]) == (
        OwnCode(),
        ["--cfg", "job", "--package", "model"],
    )


def test_own_code_is_joined_by_name():
    named = OwnCode(None, ("mine",))
    saved = OwnCode("/conf", ("/old/mine.py", "other"))
    assert not named.covers(saved)
    assert named | saved == OwnCode("/conf", ("mine", "other"))
    assert (named | saved).covers(saved)
    assert (named | saved).options == ["--config-dir", "/conf", "--package", "mine", "--package", "other"]


def test_packages_are_found_in_targets(tmp_path):
    (tmp_path / "mine").mkdir()
    config = {
        "model": {"_target_": "dgm_run.models.latent.vae.VAE", "prior": {"_target_": "mine.sub.Prior"}},
        "optimizer": {"_target_": "torch.optim.Adam"},
        "estimators": [{"_target_": "elsewhere.Estimator"}],
    }
    assert find_packages(list_targets(config), tmp_path) == ("elsewhere", str(tmp_path / "mine"))
