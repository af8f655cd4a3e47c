import pytest

from dgm_run.recording.logged_run import LoggedRun


def test_resumed_run_keeps_its_identities(tmp_path):
    LoggedRun(tmp_path, {}, None).save_identity("wandb", {"id": "a"})
    LoggedRun(tmp_path, {}, None).save_identity("mlflow", {"run_id": "b"})
    resumed = LoggedRun(tmp_path, {}, 3)
    assert resumed.load_identity("wandb") == {"id": "a"}
    assert resumed.load_identity("mlflow") == {"run_id": "b"}
    assert resumed.load_identity("trackio") is None


def test_new_run_has_no_identity(tmp_path):
    LoggedRun(tmp_path, {}, None).save_identity("wandb", {"id": "a"})
    assert LoggedRun(tmp_path, {}, None).load_identity("wandb") is None


@pytest.mark.parametrize("content", ["", "{", "\x00"])
def test_damaged_identities_are_none(content, tmp_path):
    (tmp_path / "loggers.json").write_text(content)
    assert LoggedRun(tmp_path, {}, 3).load_identity("wandb") is None


def test_name_is_the_end_of_the_folder(tmp_path):
    assert LoggedRun(tmp_path / "2026-11-28" / "08-30_vae", {}, None).name == "2026-11-28/08-30_vae"
