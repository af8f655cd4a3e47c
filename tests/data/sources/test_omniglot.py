import numpy as np
import pytest
import torch
from scipy.io import savemat

from dgm_run.data.sources.omniglot import Omniglot
from dgm_run.errors import DataError


def write(tmp_path, **arrays):
    (tmp_path / "omniglot").mkdir()
    savemat(tmp_path / "omniglot" / "chardata.mat", arrays)


@pytest.fixture
def images(tmp_path):
    """12 + 5 images of about k / 255, written as published: one a column, itself column by column."""
    generator = np.random.default_rng(0)
    levels = generator.integers(0, 256, (17, 28, 28))
    columns = np.stack([image.ravel(order="F") for image in levels], axis=1)
    columns = (columns + generator.uniform(-0.4, 0.4, columns.shape)).clip(0, 255) / 255
    write(tmp_path, data=columns[:, :12], testdata=columns[:, 12:])
    return torch.from_numpy(levels).to(torch.uint8).unsqueeze(1)


def load(tmp_path, split_seed=123):
    return Omniglot(str(tmp_path), num_valid=4, split_seed=split_seed, download=False)()


def test_images_stand_upright_with_the_nearest_levels(tmp_path, images):
    test = load(tmp_path).test
    assert test.x.dtype == torch.uint8
    assert torch.equal(test.x, images[12:])


def test_validation_is_part_of_training_set(tmp_path, images):
    train, valid, _ = load(tmp_path)
    assert (len(train.x), len(valid.x)) == (8, 4)
    shared = torch.cat([train.x, valid.x]).flatten(1).tolist()
    assert sorted(shared) == sorted(images[:12].flatten(1).tolist())


def test_seed_decides_the_validation_set(tmp_path, images):
    assert torch.equal(load(tmp_path).valid.x, load(tmp_path).valid.x)
    assert not torch.equal(load(tmp_path).valid.x, load(tmp_path, split_seed=1).valid.x)


@pytest.mark.parametrize(
    "bad", [np.full((784, 3), 255.0), np.full((784, 3), -0.1), np.full((784, 3), np.nan), np.zeros((3, 784))]
)
def test_what_is_no_intensities_is_refused(tmp_path, bad):
    write(tmp_path, data=bad, testdata=np.zeros((784, 2)))
    with pytest.raises(DataError, match=r"chardata.mat: holds no 784 x N intensities"):
        load(tmp_path)


def test_missing_data_are_asked_for(tmp_path):
    with pytest.raises(DataError, match=r"omniglot/chardata.mat.*github.com/yburda/iwae.*dataset=digits"):
        load(tmp_path)
