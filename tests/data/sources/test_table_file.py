import pytest

from dgm_run.data.sources.table_file import TableFile
from dgm_run.errors import DataError
from tests.support.tables import COLUMNS, draw_cells, write_csv


def make(path, columns=()):
    return TableFile(
        path=str(path),
        columns=columns,
        kinds={"grade": "categorical"},
        label_column=None,
        label=None,
        use=None,
        one_hot=False,
        num_valid=5,
        num_test=5,
        split_seed=None,
    )


def test_rows_come_in_their_order(tmp_path):
    cells = draw_cells(40)
    write_csv(tmp_path / "a.csv", cells)
    splits = make(tmp_path / "a.csv", COLUMNS)()
    assert splits.train.x[:, 1].tolist() == cells["income"][:30]
    assert splits.test.x[:, 3].tolist() == cells["visits"][35:]
    assert make(tmp_path / "a.csv").is_users_own


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.csv: there is no such file: set dataset\.source\.path"):
        make(tmp_path / "a.csv").read()
    with pytest.raises(DataError, match=r"a\.npz is no table: dataset=table reads \.csv, \.tsv and \.parquet files$"):
        make(tmp_path / "a.npz").read()
