import sys

import pytest

import dgm_run
from dgm_run.errors import UserError
from dgm_run.report.comparison import compare_runs
from dgm_run.report.records import make_records
from tests.support import folders


def test_frame_has_a_row_for_each_record(tmp_path):
    pytest.importorskip("pandas")
    folders.sweep(tmp_path)
    frame = dgm_run.results(tmp_path)
    assert list(frame.columns) == list(make_records(compare_runs(tmp_path))[0])
    means = frame.groupby("prior")["value"].mean()
    assert means.to_dict() == pytest.approx({"StandardPrior": -4.95, "VampPrior": -3.95})
    assert frame["seed"].tolist() == [0, 1, 0, 1]


def test_missing_pandas_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"needs pandas: pip install 'dgm-run\[pandas\]'"):
        dgm_run.results(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    pytest.importorskip("pandas")
    with pytest.raises(UserError, match="there is no folder .*none: name one with runs"):
        dgm_run.results(tmp_path / "none")
