import json

import pytest
import torch

from dgm_run.data.preprocessing import FILE, UNCHANGED, Preprocessing
from dgm_run.data.standardize import Standardization

UNITS = Standardization(torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([3.0, 1e-9], dtype=torch.float64))


def test_nothing_written_of_data_as_they(tmp_path):
    UNCHANGED.write(tmp_path)
    assert not (tmp_path / FILE).exists()
    assert Preprocessing.read(tmp_path) == UNCHANGED
    x = torch.ones(2, 2)
    assert UNCHANGED.restore(x) is x


@pytest.mark.parametrize("has_missing", [True, False])
def test_a_run_folder_keeps_it(tmp_path, has_missing):
    Preprocessing(UNITS, has_missing).write(tmp_path)
    found = Preprocessing.read(tmp_path)
    assert found.has_missing_values == has_missing
    assert torch.equal(found.restore(torch.ones(1, 2)), torch.tensor([[4.0, 2.0 + 1e-9]], dtype=torch.float64))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"standardization": 3, "has_missing_values": true}'])
def test_damaged_file_raises_expected_error(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    with pytest.raises((ValueError, KeyError, TypeError)):
        Preprocessing.read(tmp_path)


def test_missing_values_alone_are_kept(tmp_path):
    Preprocessing(None, True).write(tmp_path)
    assert json.loads((tmp_path / FILE).read_text()) == {"standardization": None, "has_missing_values": True}
    assert Preprocessing.read(tmp_path).standardization is None
