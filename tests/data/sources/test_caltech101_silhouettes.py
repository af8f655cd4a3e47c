import numpy as np
import pytest
import torch
from scipy.io import savemat

from dgm_run.data.sources.caltech101_silhouettes import Caltech101Silhouettes
from dgm_run.errors import DataError

SIZES = {"train": 6, "val": 3, "test": 4}


def write(tmp_path, **changes):
    """Writes images as published (the shape is 0, column by column) and gives them as they look."""
    generator = np.random.default_rng(0)
    looks, arrays = {}, {}
    for split, n in SIZES.items():
        looks[split] = generator.integers(0, 2, (n, 28, 28), dtype=np.uint8)
        arrays[f"{split}_data"] = np.stack([1 - image.ravel(order="F") for image in looks[split]])
        arrays[f"{split}_labels"] = np.arange(1, n + 1).reshape(n, 1).astype(np.float64)
    (tmp_path / "caltech101_silhouettes").mkdir()
    savemat(tmp_path / "caltech101_silhouettes" / "caltech101_silhouettes_28_split1.mat", arrays | changes)
    return looks


def load(tmp_path):
    return Caltech101Silhouettes(str(tmp_path), download=False)()


def test_shapes_are_ones_and_stand_upright(tmp_path):
    looks = write(tmp_path)
    for split, name in zip(load(tmp_path), SIZES, strict=True):
        assert split.x.dtype == torch.uint8
        assert torch.equal(split.x, torch.from_numpy(looks[name]).unsqueeze(1))


def test_classes_are_counted_from_zero(tmp_path):
    write(tmp_path)
    assert load(tmp_path).valid.y.tolist() == [0, 1, 2]


@pytest.mark.parametrize("bad", [np.full((3, 784), 2), np.zeros((3, 256)), np.full((3, 784), 0.5)])
def test_what_is_no_binary_image_is_refused(tmp_path, bad):
    write(tmp_path, val_data=bad)
    with pytest.raises(DataError, match=r"28_split1.mat: val_data is no N x 784 array of 0 and 1"):
        load(tmp_path)


def test_missing_data_are_asked_for(tmp_path):
    with pytest.raises(DataError, match=r"caltech101_silhouettes_28_split1.mat.*umass.edu.*dataset=digits"):
        load(tmp_path)
