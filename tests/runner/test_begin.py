"""A run folder holds what the run starts from before the first step."""

import json

import pytest

import dgm_run
from dgm_run.errors import ConfigError
from tests.support.tiny import TINY, TINY_SENTENCES


def begin(folder, monkeypatch, *overrides):
    """Starts a run that fails before its first step."""

    def refuse(*_):
        raise ConfigError("stopped")

    monkeypatch.setattr("dgm_run.runner.run.describe_parts", refuse)
    with pytest.raises(ConfigError, match="stopped"):
        dgm_run.run(dgm_run.compose(*overrides), folder)


def test_session_is_written_first(tmp_path, monkeypatch):
    begin(tmp_path, monkeypatch, *TINY)
    (line,) = (tmp_path / "sessions.jsonl").read_text().splitlines()
    assert json.loads(line)["torch"]
    assert not (tmp_path / "initial_weights.json").exists()
    assert not (tmp_path / "vocabulary.txt").exists()


def test_vocabulary_of_sentences_is_written_first(tmp_path, monkeypatch):
    begin(tmp_path, monkeypatch, "model=language_model", *TINY_SENTENCES)
    assert "dog" in (tmp_path / "vocabulary.txt").read_text().split()


def test_initial_weights_are_named_first(tmp_path, monkeypatch):
    dgm_run.run(dgm_run.compose(*TINY), tmp_path / "former")
    begin(tmp_path / "new", monkeypatch, *TINY, f"trainer.init_from={tmp_path / 'former'}")
    assert json.loads((tmp_path / "new" / "initial_weights.json").read_text())["parts"] is None
