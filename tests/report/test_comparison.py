import pytest

from dgm_run.errors import UserError
from dgm_run.report.comparison import compare_runs
from tests.support import folders


def test_all_runs_have_their_place(tmp_path):
    folders.sweep(tmp_path)
    folders.write(tmp_path / "lost", folders.config("VampPrior", seed=2))
    found = compare_runs(tmp_path)
    assert [run.name for run in found.runs] == ["0", "1", "2", "3"]
    assert [run.name for run in found.others] == ["lost"]
    assert [spec.quantity for spec, _ in found.tables] == ["log_likelihood"]


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no run in it, or below"):
        compare_runs(tmp_path)
