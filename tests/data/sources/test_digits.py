import pytest
import torch
from sklearn.datasets import load_digits

from dgm_run.data.sources.digits import Digits


@pytest.fixture(scope="module")
def splits():
    return Digits(num_valid=180, num_test=360, split_seed=0)()


def test_the_splits_have_their_sizes_and_seventeen_levels(splits):
    assert [tuple(split.x.shape) for split in splits] == [(1257, 1, 8, 8), (180, 1, 8, 8), (360, 1, 8, 8)]
    assert all(split.x.dtype == torch.uint8 and split.x.min() == 0 and split.x.max() == 16 for split in splits)


def test_every_digit_is_used_once_and_keeps_its_label(splits):
    digits = load_digits()
    expected = sorted((tuple(row), label) for row, label in zip(digits.data, digits.target, strict=True))
    found = [
        (tuple(map(float, row)), label)
        for split in splits
        for row, label in zip(split.x.flatten(1).tolist(), split.y.tolist(), strict=True)
    ]
    assert sorted(found) == expected


def test_the_seed_alone_decides_on_the_split(splits):
    assert torch.equal(Digits(180, 360, 0)().test.x, splits.test.x)
    assert not torch.equal(Digits(180, 360, 1)().test.x, splits.test.x)


def test_num_valid_changes_no_test_example():
    one, other = (Digits(num_valid=num_valid, num_test=360, split_seed=0)() for num_valid in (180, 60))
    assert torch.equal(one.test.x, other.test.x)
