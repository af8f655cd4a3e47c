import pytest

from dgm_run.cli.help_text import GROUPS as HELP_GROUPS
from dgm_run.cli.help_text import WIDTH, describe_choice, help_text
from dgm_run.config.compose import GROUPS, conf_dir
from tests.support.tiny import here

OPTIONS = [(group, path) for group in HELP_GROUPS for path in sorted((conf_dir() / group).glob("*.yaml"))]


@pytest.mark.parametrize(("group", "path"), OPTIONS, ids=lambda each: getattr(each, "stem", each))
def test_every_choice_says_what_it_is(group, path):
    described = describe_choice(path)
    assert 5 <= len(described) <= 60
    assert described.endswith(".")
    assert f" {path.stem}" in help_text(conf_dir())


def test_the_help_is_readable_and_tells_no_internals():
    text = help_text(conf_dir())
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert set(HELP_GROUPS) == {*GROUPS, "dataset/corrupt"}
    assert "* vae " in text
    assert "* importance_sampling" in text
    assert "common" not in text
    assert "iwae_2016" not in text


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_the_help_is_printed_whatever_else_is_said(option, tmp_path, monkeypatch, capfd):
    assert here("main", ["prior=nope", option], tmp_path, monkeypatch, capfd) == (0, help_text(conf_dir()), "")


def test_the_version_is_that_of_the_package(tmp_path, monkeypatch, capfd):
    assert here("main", ["--version"], tmp_path, monkeypatch, capfd) == (0, "dgm-run 0.1.0\n", "")
