import os
import random
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from dgm_run.config import commands
from dgm_run.config.commands import OwnCode, Start
from dgm_run.errors import ConfigError
from tests.support.tiny import NAMES

HARD = "ab/'\"\\ ,=[]{}()$#~-:*?!&|;<>`%@\u00fc\t1"


def nasty_texts():
    draw = random.Random(0)
    yield from (*NAMES, "", "null", "true", "007", "1e3", "2024_11", "${x}", "a\\${x}", "\\\\${b}", "a\nb", "~", "[1]")
    yield from ("".join(draw.choices(HARD, k=draw.randint(1, 8))) for _ in range(300))


def test_quoted_values_read_back_as_written():
    parser = OverridesParser.create()
    for text in nasty_texts():
        written = commands.write_override("key", text)
        value = parser.parse_override(written).value()
        assert isinstance(value, str), written
        assert OmegaConf.create({"key": value})["key"] == text, written
        assert commands.read_value(written) == text
        assert shlex.split(commands.join_for_shell("dgm-run", written)) == ["dgm-run", written]


def test_bash_reads_commands_as_written(tmp_path):
    words = [commands.write_override("key", text) for text in nasty_texts()]
    script = f"printf '%s\\0' {commands.join_for_shell(*words)}"
    found = subprocess.run(["bash", "-c", script], capture_output=True, check=True, cwd=tmp_path).stdout
    assert found.decode().split("\0")[:-1] == words


def test_plain_values_stay_unquoted():
    assert commands.write_override("trainer.resume", Path("/a/b-1_2.c")) == "trainer.resume=/a/b-1_2.c"


def test_unreadable_values_are_none():
    assert commands.read_value("x='") is None
    assert commands.read_value("x=${nowhere}") is None
    assert commands.read_folder("x=a,b") is None
    assert commands.read_folder("x=") is None
    assert commands.read_folder("x=007") == Path("007").absolute()  # as it is written, not as a number


@pytest.mark.parametrize("place", range(3))
def test_options_may_stand_anywhere(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    words = ["seed=1", "prior=mine"]
    for options in (["--config-dir", "conf", "--package", "numpy"], ["--package=numpy", "--config-dir=conf"]):
        own, others = commands.take_options([*words[:place], *options, *words[place:]])
        assert own == OwnCode(str(tmp_path / "conf"), ("numpy",))
        assert others == words


def test_packages_of_folder_are_kept_by_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "sub" / "parts").mkdir(parents=True)
    (tmp_path / "mine.py").write_text("")
    arguments = [word for name in ("mine", "sub/parts", "json", "mine.py") for word in ("--package", name)]
    own, _ = commands.take_options(arguments)
    assert own.packages == (str(tmp_path / "mine.py"), str(tmp_path / "sub" / "parts"), "json")
    assert own.names == ("mine", "parts", "json")
    assert commands.make_importable(own.packages) == own.names
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
        commands.take_options(arguments)


def test_package_of_cfg_is_left_to_hydra():
    assert commands.take_options(["--cfg", "job", "--package", "model"]) == (
        OwnCode(),
        ["--cfg", "job", "--package", "model"],
    )


def test_overrides_come_in_one_piece():
    assert commands.split_flags(["a=1", "-m", "~prior", "--cfg", "job", "b=2"]) == (
        ["a=1", "~prior", "b=2"],
        ["-m", "--cfg", "job"],
    )
    assert commands.split_flags(["--info", "defaults", "a=1"]) == (["a=1"], ["--info", "defaults"])
    assert commands.split_flags(["a=1", "--info"]) == (["a=1"], ["--info"])


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
    assert commands.find_packages(commands.list_targets(config), tmp_path) == ("elsewhere", str(tmp_path / "mine"))


def test_a_start_is_read_as_written(tmp_path):
    start = Start(("seed=1", "data_dir='/a b'"), OwnCode("/conf", ("mine",)))
    assert commands.read_start(tmp_path) is None
    commands.write_start(tmp_path, start)
    assert commands.read_start(tmp_path) == start
    (tmp_path / commands.START).write_text("{")
    assert commands.read_start(tmp_path) is None


def test_moved_data_are_kept_only(tmp_path):
    commands.write_start(tmp_path, Start(("seed=1", "dataset.source.path=/old"), OwnCode("/conf")))
    commands.move_data(tmp_path, Start(("trainer.max_epochs=9", "dataset.source.path='/new place'", "data_dir=/d")))
    assert commands.read_start(tmp_path) == Start(
        ("seed=1", "dataset.source.path='/new place'", "data_dir=/d"), OwnCode("/conf")
    )


def test_stored_paths_take_the_place_of_relative_ones():
    stored = commands.store_overrides(["+dataset.source.path=x", "seed=1"], {"dataset.source.path": "/a b/x"})
    assert stored == ["seed=1", "+dataset.source.path='/a b/x'"]


def test_commands_hold_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("-run $1")
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("[]")
    whole = str(tmp_path / folder)
    own = OwnCode(None, ("mine",))
    assert shlex.split(commands.resume_run(folder, ["seed=1"], own)) == [
        *("dgm-run", "--package", "mine", "seed=1"),
        f"trainer.resume='{whole}'",
    ]
    assert shlex.split(commands.resume_sweep(folder, OwnCode())) == ["dgm-run", f"sweep.resume='{whole}'"]
    assert shlex.split(commands.evaluate_run(folder, ["a=1"])) == ["dgm-eval", whole, "a=1"]
    assert shlex.split(commands.sample_run(folder, ["n=3"])) == ["dgm-sample", whole, "n=3"]
    assert shlex.split(commands.report_runs(folder)) == ["dgm-report", whole]
    assert shlex.split(commands.show_runs(folder)) == ["tensorboard", "--logdir", whole]


def test_a_run_of_python_goes_on_in_python(tmp_path):
    (tmp_path / ".hydra").mkdir()
    assert commands.resume_run(tmp_path) == f"dgm_run.run(cfg, {os.fspath(tmp_path)!r}) in Python, with " + (
        "trainer.resume=auto"
    )
