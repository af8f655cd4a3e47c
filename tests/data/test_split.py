import pytest
import torch

from dgm_run.data.memmap import OnDisk
from dgm_run.data.split import RawSplit, RawSplits, digest, split_examples
from dgm_run.errors import DataError


def test_splits_are_cut_in_order_and_keep_labels_with_examples():
    x, y = torch.arange(10), torch.arange(10) * 2
    splits = split_examples(x, y, num_valid=3, num_test=2)
    assert [split.x.tolist() for split in splits] == [[0, 1, 2, 3, 4], [5, 6, 7], [8, 9]]
    assert all(torch.equal(split.y, 2 * split.x) for split in splits)


def test_without_labels_there_are_none():
    assert [split.y for split in split_examples(torch.arange(10), None, 3, 2)] == [None] * 3


def test_no_examples_may_be_asked_for():
    splits = split_examples(torch.arange(10), None, 0, 0)
    assert [len(split.x) for split in splits] == [10, 0, 0]


@pytest.mark.parametrize(("num_valid", "num_test"), [(5, 5), (11, 0), (0, 10)])
def test_empty_training_split_is_refused(num_valid, num_test):
    with pytest.raises(DataError, match=f"{num_valid} for validation and {num_test} for test"):
        split_examples(torch.arange(10), None, num_valid, num_test)


def three(x, y=None):
    return split_examples(x, y, num_valid=3, num_test=4)


def test_a_digest_changes_with_values_labels_and_sizes():
    x, y = torch.arange(40.0).view(20, 2), torch.arange(20)
    other = x.clone()
    other[7, 1] += 1
    found = [
        digest(splits) for splits in (three(x, y), three(x), three(other, y), three(x, y.flip(0)), three(x[1:], y[1:]))
    ]
    assert len(set(found)) == 5
    assert digest(three(x.clone(), y.clone())) == found[0]


def test_digest_changes_with_a_small_change():
    x = torch.rand(5000, 2, dtype=torch.float64) + 1e8
    other = x.clone()
    other[1, 1] += 1e-6
    assert digest(three(other)) != digest(three(x))


def test_digest_ignores_the_storage():
    x = torch.rand(20, 2, dtype=torch.float64)
    train, valid, test = three(x)
    expected = digest(three(x))
    assert digest(RawSplits(RawSplit(OnDisk(train.x)), valid, test)) == expected


@pytest.mark.parametrize(("num", "sizes"), [(300, [240, 30, 30]), (3, [1, 1, 1]), (25_000, [23_000, 1000, 1000])])
def test_a_tenth_is_put_aside_by_default(num, sizes):
    assert [len(split.x) for split in split_examples(torch.arange(num), None, None, None)] == sizes
