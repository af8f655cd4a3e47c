import numpy as np
import pytest
from scipy.io import savemat

from dgm_run.data.mat_file import read_mat
from dgm_run.errors import DataError


@pytest.fixture
def path(tmp_path):
    savemat(tmp_path / "a.mat", {"x": np.eye(30), "y": np.arange(4)}, do_compression=True)
    return tmp_path / "a.mat"


def test_arrays_come_in_the_order_asked_for(path):
    y, x = read_mat(path, ["y", "x"])
    assert y.ravel().tolist() == [0, 1, 2, 3]
    assert np.array_equal(x, np.eye(30))


def test_file_without_array_refused_by_name(path):
    with pytest.raises(DataError, match=r"a.mat: has no array z$"):
        read_mat(path, ["x", "z"])


@pytest.mark.parametrize(
    "change",
    [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"<html>Not here\n</html>" * 50, lambda c: c[:100]],
    ids=["truncated", "empty", "web page", "header only"],
)
def test_damaged_file_is_refused(path, change):
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=r"a.mat: ") as error:
        read_mat(path, ["x", "y"])
    assert "\n" not in str(error.value)
