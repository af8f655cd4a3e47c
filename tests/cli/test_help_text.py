import pytest

from dgm_run.cli.help_text import GROUP_DESCRIPTIONS, WIDTH, describe_choice, describe_choices, help_text
from dgm_run.config.hydra_compose import conf_dir
from dgm_run.config.schema import GROUPS
from tests.support.tiny import run_here

OPTIONS = [(group, path) for group in GROUP_DESCRIPTIONS for path in sorted((conf_dir() / group).glob("*.yaml"))]


@pytest.mark.parametrize(("group", "path"), OPTIONS, ids=lambda each: getattr(each, "stem", each))
def test_every_choice_says_what_it_is(group, path):
    described = describe_choice(path)
    assert 5 <= len(described) <= 60
    assert described.endswith(".")


def test_the_help_fits_a_screen_of_text():
    text = help_text(conf_dir())
    assert len(text.encode()) <= 34 * 80
    assert max(map(len, text.splitlines())) <= WIDTH


def test_the_help_names_all_choices_by_group():
    text = help_text(conf_dir())
    lines = text.split("default):\n")[1].split("\n\n")[0].replace("\n  ", " ").splitlines()
    found = {line.partition(": ")[0]: line.partition(": ")[2].split() for line in lines}
    assert list(found) == list(GROUP_DESCRIPTIONS)
    assert set(found) == {*GROUPS, "dataset/corrupt", "dataset/augment"}
    named = [(group, name.lstrip("*")) for group, names in found.items() for name in names]
    assert named == [(group, path.stem) for group, path in OPTIONS]
    defaults = {group: [name for name in names if name.startswith("*")] for group, names in found.items()}
    assert defaults["model"] == ["*vae"]
    assert defaults["estimators"] == ["*importance_sampling"]
    assert defaults["dataset/corrupt"] == []
    assert defaults["dataset/augment"] == []
    assert defaults["callbacks"] == []
    assert all(len(defaults[group]) == 1 for group in GROUPS if group != "callbacks")


def test_help_shows_no_internals():
    text = help_text(conf_dir())
    assert "common" not in text
    assert "iwae_2016" not in text
    assert "--experiments" in text


def test_choices_are_described_in_groups():
    text = describe_choices(conf_dir())
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "\n* vae                   Variational auto-encoder (Kingma & Welling 2013).\n" in text
    assert "\nprior: p(z)\n  autoregressive " in text
    assert all(f" {path.stem}" in text for _, path in OPTIONS)
    assert "common" not in text


def test_the_choices_are_printed(tmp_path, monkeypatch, capfd):
    assert run_here("main", ["--choices"], tmp_path, monkeypatch, capfd) == (0, describe_choices(conf_dir()), "")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_printed_whatever_else_reported(option, tmp_path, monkeypatch, capfd):
    assert run_here("main", ["prior=nope", option], tmp_path, monkeypatch, capfd) == (0, help_text(conf_dir()), "")


@pytest.mark.parametrize("command", ["main", "evaluate", "sample", "report"])
def test_the_version_is_that_of_the_package(command, tmp_path, monkeypatch, capfd):
    assert run_here(command, ["--version"], tmp_path, monkeypatch, capfd) == (0, "dgm-run 0.1.0\n", "")
