import pytest

from dgm_run.config.published import KINDS, check_published, split_source
from dgm_run.errors import ConfigError

NODE = {"kind": "paper", "values": {"elbo": -80.0}, "source": "A paper"}


@pytest.mark.parametrize("kind", KINDS)
def test_presets_may_state_each_kind(kind):
    check_published(NODE | {"kind": kind})
    check_published(None)


@pytest.mark.parametrize("part", NODE)
def test_every_part_of_published_is_required(part):
    with pytest.raises(ConfigError, match=f"^published.{part} is missing: a preset that sets published needs kind"):
        check_published({name: value for name, value in NODE.items() if name != part})


@pytest.mark.parametrize("values", [3, "x", {"elbo": "high"}, {"elbo": None}, {"elbo": True}])
def test_published_values_are_numbers(values):
    with pytest.raises(ConfigError, match="^published.values = .* must be numbers by quantity"):
        check_published(NODE | {"values": values})


@pytest.mark.parametrize("stderr", [3, {"elbo": "high"}, {"elbo": None}])
def test_stated_errors_are_numbers(stderr):
    check_published(NODE | {"stderr": {"elbo": 0.1}})
    with pytest.raises(ConfigError, match="^published.stderr = .* must be numbers by quantity"):
        check_published(NODE | {"stderr": stderr})


@pytest.mark.parametrize("part", ["source", "note"])
def test_sources_and_notes_are_text(part):
    check_published(NODE | {part: "words"})
    with pytest.raises(ConfigError, match=f"^published.{part} = 3 must be text"):
        check_published(NODE | {part: 3})


def test_unknown_kinds_are_refused():
    with pytest.raises(ConfigError, match="^published.kind: rumour is no kind of number: choose one of paper, program"):
        check_published(NODE | {"kind": "rumour"})
    with pytest.raises(ConfigError, match="is no kind of number"):
        check_published(NODE | {"kind": ["paper"]})


def test_sources_split_after_their_address():
    paper = "A. Author, On it, 2016, https://example.org/1"
    assert split_source(f"{paper}, Table 1, MNIST") == (paper, "Table 1, MNIST")
    assert split_source(paper) == (paper, "")
    assert split_source(f"{paper}; changed: seed=1, lr=2") == (paper, "changed: seed=1, lr=2")
    assert split_source("a note") == ("a note", "")
