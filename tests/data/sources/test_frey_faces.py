import numpy as np
import pytest
import torch
from scipy.io import savemat

from dgm_run.data.sources.frey_faces import FreyFaces
from dgm_run.errors import DataError


def write(tmp_path, ff):
    (tmp_path / "frey_faces").mkdir()
    savemat(tmp_path / "frey_faces" / "frey_rawface.mat", {"ff": ff})


@pytest.fixture
def faces(tmp_path):
    """20 faces of 28x20, written as published: one a column, itself row by row."""
    faces = np.random.default_rng(0).integers(0, 256, (20, 28, 20), dtype=np.uint8)
    write(tmp_path, np.stack([face.ravel() for face in faces], axis=1))
    return torch.from_numpy(faces).unsqueeze(1)


def load(tmp_path, split_seed=0):
    return FreyFaces(str(tmp_path), num_valid=4, num_test=5, split_seed=split_seed, download=False)()


def test_every_face_stands_upright_in_one_split(tmp_path, faces):
    splits = load(tmp_path)
    assert [tuple(split.x.shape) for split in splits] == [(n, 1, 28, 20) for n in (11, 4, 5)]
    together = torch.cat([split.x for split in splits])
    assert together.dtype == torch.uint8
    assert sorted(together.flatten(1).tolist()) == sorted(faces.flatten(1).tolist())


def test_the_seed_alone_decides_on_the_split(tmp_path, faces):
    assert torch.equal(load(tmp_path).test.x, load(tmp_path).test.x)
    assert not torch.equal(load(tmp_path).test.x, load(tmp_path, split_seed=1).test.x)


@pytest.mark.parametrize("bad", [np.zeros((20, 560), dtype=np.uint8), np.zeros((560, 20))])
def test_what_is_no_faces_is_refused(tmp_path, bad):
    write(tmp_path, bad)
    with pytest.raises(DataError, match=r"frey_rawface.mat: ff is .* instead of 560 x N bytes"):
        load(tmp_path)


def test_missing_data_are_asked_for(tmp_path):
    with pytest.raises(DataError, match=r"frey_faces/frey_rawface.mat.*cs.nyu.edu.*dataset=digits"):
        load(tmp_path)
