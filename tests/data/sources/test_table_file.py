import pytest

from dgm_run.errors import DataError
from tests.support.tables import COLUMNS, draw_cells, make_table_file, write_csv


def make(path, columns=()):
    return make_table_file(path, columns=columns, kinds={"grade": "categorical"}, num_valid=5, num_test=5)


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
