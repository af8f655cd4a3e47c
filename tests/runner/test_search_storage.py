import optuna
import pytest

from dgm_run.errors import ConfigError
from dgm_run.runner.search_storage import is_storage_lost, open_storage
from tests.support.tiny import NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if "/" not in name] + ["a?b%20{c}"])
def test_sqlite_lies_in_a_folder_of_any_name(name, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    assert is_storage_lost("sqlite", folder)
    optuna.create_study(storage=open_storage("sqlite", folder), study_name="search")
    assert [path.name for path in folder.iterdir()] == ["search.db"]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert not is_storage_lost("sqlite", folder)
    assert optuna.load_study(study_name="search", storage=open_storage("sqlite", folder)).trials == []


def test_journal_is_a_file_in_the_folder(tmp_path):
    optuna.create_study(storage=open_storage("journal", tmp_path), study_name="search")
    assert [path.name for path in tmp_path.iterdir()] == ["search.log"]


@pytest.mark.parametrize("url", ["nope", "nodb://someone:secret@host/db", "sqlite:////nowhere/at/all.db"])
def test_storage_that_cannot_be_opened_is_refused(url, tmp_path):
    with pytest.raises(ConfigError, match=r"hydra\.sweeper\.storage=.*: cannot be opened \(") as refusal:
        open_storage(url, tmp_path)
    assert "secret" not in str(refusal.value)
    assert "\n" not in str(refusal.value)
